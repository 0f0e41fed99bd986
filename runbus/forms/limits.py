"""Limits: what bounds a value, by the keywords of its schema, as far as they make sense."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.forms.parts import Schema
    from runbus.protocol.json_value import JSONObject


def limits_of(schema: Schema) -> JSONObject:
    """Return the limits in a schema; a number of items is no fraction, a pattern is a text."""
    given = {name: schema[name] for name in _LIMITS.keys() & schema.keys()}
    return {name: value for name, value in given.items() if _LIMITS[name](value)}


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
