"""The normal form of an answer: its fields by the names of the form, its decimals with all digits.

A model's fields may be given by their own names where the form has an alias (`x-names`). Where a
`Decimal` is asked for, a number that a float would cut is written as a text.
"""

from __future__ import annotations

import base64
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import to_json

from runbus.errors import NotSerializable
from runbus.forms.core_types import KEYWORD, is_decimal
from runbus.forms.exact_json import read_exact, write_exact
from runbus.forms.parts import List, Map, Number, Object, Schema, Tuple, Union
from runbus.forms.references import fields_of, items_of, standalone
from runbus.forms.schema import SchemaReader
from runbus.forms.validator import fits

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.forms.parts import Part
    from runbus.protocol.json_value import JSONObject, JSONValue


MOST_LOOKS = 1000
DEEPEST_KINDS = 50
"""How often, and how deep, kinds are tried for the values of an answer: one of them may be of the
same kinds again. The answer then stays as it is from there on."""


def normal_form(root: JSONValue, value: JSONValue, schema: Schema | None = None) -> JSONValue:
    """Return an answer in its normal form; `value` is as `read_exact` reads it.

    With a `schema` within the form it is the value of that part.
    """
    whole = fields_of(root)
    if not whole or not (b'"x-names"' in to_json(whole) or _has((bytes, Decimal), value)):
        return value
    return _Normal(whole).value(whole if schema is None else schema, value)


def write_for(root: JSONValue, value: object, write: Callable[[object], bytes]) -> bytes:
    """Write a value of Python's as JSON, its bytes as their part of the form takes them.

    Raises `NotSerializable`.
    """
    if _has(bytes, value):
        value = normal_form(root, _but_bytes(value, write))
    return write_exact(value, write)


def _but_bytes(value: object, write: Callable[[object], bytes]) -> JSONValue:
    if isinstance(value, dict):
        pairs = cast("JSONObject", value).items()
        return {name: _but_bytes(each, write) for name, each in pairs}
    if isinstance(value, list):
        return [_but_bytes(each, write) for each in cast("list[JSONValue]", value)]
    return value if isinstance(value, (bytes, Decimal)) else read_exact(write(value))


def _has(type_: type | tuple[type, ...], value: object) -> bool:
    if isinstance(value, dict):
        return any(_has(type_, each) for each in cast("JSONObject", value).values())
    if isinstance(value, list):
        return any(_has(type_, each) for each in cast("list[JSONValue]", value))
    return isinstance(value, type_)


class _Normal:
    def __init__(self, root: Schema) -> None:
        self._root = root
        self._reader = SchemaReader(root)
        self._looks = MOST_LOOKS
        self._depth = 0

    def value(self, schema: object, value: Any) -> Any:
        if not isinstance(value, (dict, list, Decimal, bytes)):
            return value
        part = self._reader.part(schema)
        if isinstance(part, Union):
            return self._of_branch(part, value)
        if isinstance(value, Decimal):
            return _number(part, value)
        if isinstance(value, bytes):
            return _text(part, value)
        if isinstance(value, dict):
            return self._object(part, fields_of(cast("JSONValue", value)))
        return self._list(part, items_of(value))

    def _of_branch(self, part: Union, value: Any) -> Any:
        found = value
        self._depth += 1
        for branch in part.branches:
            self._looks -= 1
            if self._looks < 0 or self._depth > DEEPEST_KINDS:
                return value
            found = self.value(branch.schema, value)
            if fits(standalone(self._root, branch.schema), found):
                break
        self._depth -= 1
        return found

    def _object(self, part: Part, value: JSONObject) -> JSONObject:
        names = {own: name for name, own in fields_of(part.schema.get("x-names")).items()}
        kinds = dict(part.properties) if isinstance(part, Object) else Schema()
        others = part.values if isinstance(part, Map) else Schema()
        return {
            name: self.value(kinds.get(name, others), inner)
            for given, inner in value.items()
            for name in [given if names.get(given, given) in value else names[given]]
        }

    def _list(self, part: Part, value: list[JSONValue]) -> list[JSONValue]:
        items = part.items if isinstance(part, Tuple) else ()
        others = part.items if isinstance(part, List) else Schema()
        kinds = [*items_of(list(items)), *[others] * len(value)]
        return [self.value(kind, each) for kind, each in zip(kinds, value, strict=False)]


def _number(part: Part, value: Decimal) -> float | str:
    if is_decimal(part.schema) or (isinstance(part, Number) and part.is_decimal):
        return str(value)
    number = float(value)
    return number if math.isfinite(number) else str(value)


def _text(part: Part, value: bytes) -> str:
    if fields_of(part.schema.get(KEYWORD)).get("mode") != "utf8":
        return base64.urlsafe_b64encode(value).decode()
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise NotSerializable(value, f"the model takes its bytes as UTF-8: {error}") from None
