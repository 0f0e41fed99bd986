"""Kinds of fields: which control of a page asks for a part of a form."""

from __future__ import annotations

from typing import Literal

from runbus.forms.parts import (
    Boolean,
    Choice,
    Constant,
    Json,
    List,
    Map,
    Nothing,
    Number,
    Object,
    Part,
    Text,
    Tuple,
    Union,
)

Kind = Literal[
    "text", "area", "password", "email", "url", "integer", "number", "decimal", "boolean", "choice",
    "constant", "date", "datetime", "time", "object", "list", "tuple", "map", "union", "json",
    "nothing",
]  # fmt: skip

MANY_CHARACTERS = 200
"""A text that may have more has a field of several lines."""
_BY_PART: dict[type[Part], Kind] = {
    Boolean: "boolean",
    Choice: "choice",
    Constant: "constant",
    List: "list",
    Map: "map",
    Nothing: "nothing",
    Object: "object",
    Tuple: "tuple",
    Union: "union",
}
_BY_FORMAT: dict[str, Kind] = {
    "date": "date",
    "date-time": "datetime",
    "email": "email",
    "multiline": "area",
    "password": "password",
    "textarea": "area",
    "time": "time",
    "uri": "url",
}


def kind_of(part: Part) -> Kind:
    """Return the kind of field that asks for a part; `json` for what no field is made for."""
    match part:
        case Text() | Number() | Json() if part.is_secret:
            return "password"
        case Text():
            return _BY_FORMAT.get(part.format, "area" if _is_long(part) else "text")
        case Number(is_decimal=True):
            return "decimal"
        case Number():
            return "integer" if part.is_whole else "number"
        case _:
            return _BY_PART.get(type(part), "json")


def _is_long(part: Text) -> bool:
    return part.limits.get("maxLength", 0) > MANY_CHARACTERS or "\n" in str(part.default)
