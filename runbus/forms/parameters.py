"""The parameters of a run, judged when it is made: as a call of the flow would take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from runbus.forms import catalogue
from runbus.forms.answers import errors_beyond_defaults
from runbus.forms.core_types import KEYWORD, read_core
from runbus.forms.exact_json import read_exact
from runbus.forms.normal_form import normal_form
from runbus.forms.parts import Boolean, Number, Text
from runbus.forms.references import fields_of
from runbus.forms.refusal import unknown_words
from runbus.forms.schema import SchemaReader

if TYPE_CHECKING:
    from runbus.forms.parts import Part, Schema
    from runbus.protocol.json_value import JSONValue


def checked_parameters(schema: bytes, data: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the JSON of parameters in their normal form, and what is wrong with them by name.

    `schema` is JSON; empty where it is not known. Defaults stay the flow's own.
    """
    known = fields_of(from_json(schema)) if schema else {}
    given = normal_form(known, read_exact(data))
    if not errors_beyond_defaults(known, given):
        return to_json(given), {}
    reader, kinds = SchemaReader(known), fields_of(known.get("properties"))
    read = {
        name: _as_called(reader.part(kinds[name]), value) if name in kinds else value
        for name, value in fields_of(given).items()
    }
    return to_json(given), parameter_errors(known, given, errors_beyond_defaults(known, read))


def parameter_errors(schema: Schema, given: JSONValue, errors: dict[str, str]) -> dict[str, str]:
    """Return what is wrong with parameters, an unknown one called so and not a field."""
    kinds = fields_of(schema.get("properties"))
    words = unknown_words(schema, catalogue.UNKNOWN_PARAMETER, catalogue.UNKNOWN_PARAMETER_ALONE)
    unknown = fields_of(given).keys() - kinds.keys()
    return {name: words if name in unknown else each for name, each in errors.items()}


def _as_called(part: Part, value: JSONValue) -> JSONValue:
    """Return a value as pydantic reads it for a flow: `"2"` is a number, 5 are seconds."""
    type_: Any = None
    if isinstance(value, str) and isinstance(part, Number) and not part.is_decimal:
        type_ = {"type": "int" if part.is_whole else "float"}
    elif isinstance(value, str) and isinstance(part, Boolean):
        type_ = {"type": "bool"}
    elif isinstance(value, (int, float)) and isinstance(part, Text):
        type_ = part.schema.get(KEYWORD)
    try:
        return value if type_ is None else _as_json(read_core(type_, value))
    except ValueError:
        return value


def _as_json(value: object) -> JSONValue:
    return from_json(to_json(value, inf_nan_mode="strings"))
