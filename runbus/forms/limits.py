"""Limits: what bounds a value, by the keywords of its schema, as far as they make sense."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.forms.parts import Schema
    from runbus.protocol.json_value import JSONObject, JSONValue

_MOST_WHOLE = 10**15
"""From about here on a float is written with an exponent."""


def limits_of(schema: Schema) -> JSONObject:
    """Return the limits in a schema; a number of items is no fraction, a pattern is a text.

    They are shown as they are here: a whole number has no point.
    """
    given = {name: schema[name] for name in _LIMITS.keys() & schema.keys()}
    return {name: without_point(value) for name, value in given.items() if _LIMITS[name](value)}


def without_point(value: JSONValue) -> JSONValue:
    """Return a whole number as one: 500 for 500.0."""
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < _MOST_WHOLE
    return int(value) if is_whole else value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_LIMITS: dict[str, Callable[[object], bool]] = {
    "minimum": _is_number,
    "maximum": _is_number,
    "exclusiveMinimum": _is_number,
    "exclusiveMaximum": _is_number,
    "multipleOf": _is_number,
    "minLength": _is_count,
    "maxLength": _is_count,
    "minItems": _is_count,
    "maxItems": _is_count,
    "pattern": lambda value: isinstance(value, str),
    "uniqueItems": lambda value: isinstance(value, bool),
}
