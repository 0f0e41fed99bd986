"""Exact numbers: a `Decimal` is read with all digits of the number that was sent.

JSON does not say which numbers are decimals, and pydantic reads each as a float first. The sender
need not know the type: where the receiver's asks for a `Decimal`, the number is read as a text.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from runbus.protocol.values import decoder, encode, json_schema, takes_decimals

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.protocol.json_value import JSONValue

_NOT_WHOLE = re.compile(rb"\d[.eE]")


class ExactValue:
    """A value as `read_exact` reads it: it is sent with all digits of its numbers."""

    __runbus_input__ = "json"

    def __init__(self, value: JSONValue) -> None:
        self._value = value

    def encode(self) -> bytes:
        """Return its JSON."""
        from runbus.forms.exact_json import write_exact  # late: only the doors send so

        return write_exact(self._value, encode)


def exact_decoder(annotation: Any) -> Callable[[bytes], Any]:
    """Return the function that reads JSON as a type, its decimals with all digits."""
    decode = decoder(annotation)
    if not takes_decimals(annotation):
        return decode
    exactly = _exactly(annotation)
    return lambda data: decode(exactly(data))


@lru_cache(maxsize=1024)
def exactly_for(model: type[Any]) -> Callable[[bytes], bytes]:
    """Return the function that writes the decimals in a model's JSON as texts."""
    return _exactly(model) if takes_decimals(model) else bytes


def _exactly(annotation: Any) -> Callable[[bytes], bytes]:
    @cache
    def schema() -> JSONValue:
        from runbus.execution.lenient_schema import LenientSchema

        return json_schema(annotation, LenientSchema)

    def exactly(data: bytes) -> bytes:
        if not _NOT_WHOLE.search(data):
            return data
        from runbus.forms.exact_json import read_exact  # late: few numbers are decimals
        from runbus.forms.normal_form import normal_form

        try:
            return to_json(normal_form(schema(), read_exact(data)), inf_nan_mode="strings")
        except ValueError:  # the decoder says what is wrong
            return data

    return exactly
