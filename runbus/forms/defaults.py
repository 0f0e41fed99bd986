"""Defaults of a form: they stand for the flow's own, which need not fit the flow's type.

Nobody checks the default of a function or of a model, and its JSON may be read as something else: a
date as a text, where both are taken. So what has the form's default is stored and shown, but
neither checked nor read: the flow takes its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pydantic_core import to_json

from runbus.forms.references import fields_of, items_of

if TYPE_CHECKING:
    from runbus.forms.parts import Schema
    from runbus.protocol.json_value import JSONObject, JSONValue


def defaults_of(schema: object) -> JSONObject:
    """Return the defaults of a form's fields."""
    fields = fields_of(fields_of(schema).get("properties"))
    found = {name: fields_of(field) for name, field in fields.items()}
    return {name: field["default"] for name, field in found.items() if "default" in field}


def with_defaults(schema: object, answer: object) -> JSONValue:
    """Return an answer with the form's defaults for the fields that it leaves out."""
    if not isinstance(answer, dict):
        return answer
    return {**defaults_of(schema), **cast("Schema", answer)}


def without_defaults(schema: object, answer: object) -> JSONValue:
    """Return an answer without the fields that may be left out and have the form's default."""
    if not isinstance(answer, dict):
        return answer
    required = items_of(fields_of(schema).get("required"))
    defaults = defaults_of(schema)
    return {
        name: value
        for name, value in cast("Schema", answer).items()
        if name not in defaults or name in required or not is_same(value, defaults[name])
    }


def is_same(one: object, other: object) -> bool:
    """Tell whether two values are the same JSON: 1 is not `true`."""
    return to_json(one, inf_nan_mode="strings") == to_json(other, inf_nan_mode="strings")
