"""JSON without loss: no digit of a number is dropped, and no key that is there twice."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import from_json

from runbus.forms.catalogue import JSON_WANTED, TWICE
from runbus.forms.values import Mistyped, keeps_digits

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.protocol.json_value import JSONObject, JSONValue


class KeyTwice(Mistyped):
    """An object has a key twice."""


def read_exact(data: str | bytes) -> JSONValue:
    """Read JSON; a number of which a float would lose a digit comes as a `Decimal`.

    Raises `Mistyped` also for what is not finite, and for an object that has a key twice.
    """
    data = data.encode(errors="surrogatepass") if isinstance(data, str) else data
    try:
        from_json(data, allow_inf_nan=False)  # first: it is stricter, and not for ever deep
        return json.loads(data, parse_float=_number, object_pairs_hook=_object)
    except Mistyped:
        raise
    except ValueError as error:
        raise Mistyped(JSON_WANTED.format(why=error)) from None


def write_exact(value: object, write: Callable[[object], bytes]) -> bytes:
    """Write JSON, a `Decimal` as the number that it is; all else is written by `write`."""
    if isinstance(value, Decimal) and value.is_finite():
        return str(value).encode()
    if isinstance(value, list):
        items = cast("list[JSONValue]", value)
        return b"[%s]" % b",".join(write_exact(each, write) for each in items)
    pairs = cast("JSONObject", value) if isinstance(value, dict) else {}
    if not pairs or not all(type(key) is str for key in pairs):
        return write(cast("object", value))
    written = (write(key) + b":" + write_exact(each, write) for key, each in pairs.items())
    return b"{%s}" % b",".join(written)


def _number(text: str) -> float | Decimal:
    return float(text) if keeps_digits(text) else Decimal(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise KeyTwice(TWICE.format(name=next(each for each in names if names.count(each) > 1)))
    return found
