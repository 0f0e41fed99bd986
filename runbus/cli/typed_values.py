"""What a person typed, as a value of a form."""

from __future__ import annotations

import json
import uuid
from datetime import date, datetime, time, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from runbus.cli.form import FORMATS, fields_of, items_of
from runbus.protocol.answers import problems_of

if TYPE_CHECKING:
    from runbus.cli.form import Part, Schema

_YES = {"y", "yes", "true", "t", "1", "on"}
_NO = {"n", "no", "false", "f", "0", "off"}
_FORM = "urn:runbus:form"
# What a flow's own types take, which a schema alone does not check.
_TYPES: dict[str, Any] = {
    "date": date,
    "date-time": datetime,
    "time": time,
    "duration": timedelta,
    "uuid": uuid.UUID,
}


class Mistyped(ValueError):
    """What was typed is not what was asked for; the text says what would be."""


def as_value(part: Part, text: str) -> Any:
    """Read one line as a part's value. Raises `Mistyped`."""
    match part.kind:
        case "string":
            return "" if text == '""' else text
        case "boolean":
            return as_bool(text)
        case "integer" | "number":
            return _number(part, text)
        case "choice":
            return _option(part.options(), text)
        case _:
            return _json(part, text)


def as_bool(text: str) -> bool:
    """Read yes or no. Raises `Mistyped`."""
    if text.casefold() in _YES | _NO:
        return text.casefold() in _YES
    raise Mistyped("type y or n")


def _number(part: Part, text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        if part.kind == "integer":
            raise Mistyped("type a whole number, such as 3") from None
    try:
        return float(text)
    except ValueError:
        raise Mistyped("type a number, such as 1.5") from None


def is_numbered(options: list[Any]) -> bool:
    """Tell whether options may be named by their place: numbers are named by themselves."""
    return not any(isinstance(each, (int, float)) for each in options)


def _option(options: list[Any], text: str) -> Any:
    for each in options:
        if text.casefold() == label(each).casefold():
            return each
    numbers = {str(number): each for number, each in enumerate(options, 1)}
    if is_numbered(options) and text in numbers:
        return numbers[text]
    raise Mistyped(f"type a number from 1 to {len(options)}" if is_numbered(options) else
                   f"type one of {', '.join(map(label, options))}")  # fmt: skip


def label(value: Any) -> str:
    """Return how an option or a default is written for a person."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json(part: Part, text: str) -> Any:
    try:
        return from_json(text.encode())  # half a character is a ValueError
    except ValueError as error:
        if part.kind in {"json", "union"}:
            return text  # the form says whether a text will do
        raise Mistyped(f"that is not JSON: {error}") from None


def problem_with(root: Schema, part: Part, value: Any) -> str:
    """Return what is wrong with a value, empty for a good one."""
    if value is None and part.nullable:
        return ""
    found = problems_of(_by_itself(root, part.schema), value)
    return "; ".join(_place(*item) for item in found.items()) or _of_format(part, value)


def _by_itself(root: Schema, schema: Schema) -> Schema:
    """Return a part of a form whose references still lead into the form."""
    if not _has_references(schema):
        return schema
    return _leading(schema) | {"$defs": {"form": root | {"$id": _FORM}}}


def _has_references(schema: Any) -> bool:
    if isinstance(schema, list):
        return any(map(_has_references, items_of(schema)))
    inner = fields_of(schema)
    return "$ref" in inner or any(map(_has_references, inner.values()))


def _leading(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_leading(each) for each in items_of(schema)]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _FORM + each if name == "$ref" and str(each).startswith("#") else _leading(each)
        for name, each in fields_of(schema).items()
    }


def _place(name: str, problem: str) -> str:
    return f"{name}: {problem}" if name else problem


def _of_format(part: Part, value: Any) -> str:
    expected = _TYPES.get(str(part.schema.get("format")))
    if expected is None or not isinstance(value, str):
        return ""
    try:
        _adapter(expected).validate_python(value)
    except ValidationError:
        return f"type {FORMATS[part.schema['format']]}"
    return ""


@cache
def _adapter(expected: Any) -> TypeAdapter[Any]:
    return TypeAdapter(expected)
