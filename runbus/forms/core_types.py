"""Types by pydantic's own core: what JSON Schema cannot say of a value, stored beside it.

A form is judged where the flow's code is not: on the page, by a command. So the description by
which the flow's own validator was made stands in the form as `x-core`, as far as it is one of a
standard type: digits and places of a `Decimal`, whether a time has a zone, which URLs are taken.
A form may come from any program: of a description only what is known here is used.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic_core import SchemaError, SchemaValidator, ValidationError, from_json, to_json

from runbus.forms.catalogue import core_words
from runbus.forms.limits import without_point
from runbus.forms.references import fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core.core_schema import CoreConfig, CoreSchema

    from runbus.forms.parts import Schema
    from runbus.protocol.json_value import JSONObject

KEYWORD: Final = "x-core"
OWN: Final = "x-own"
"""Stands where a function of the user's own reads values: nothing is known of what it takes."""
NOT_FINITE: Final = frozenset({"Infinity", "-Infinity", "NaN"})
"""The floats that JSON has no number for, as they are written."""
MARK: Final = "x-form"
"""Stands at the root of a schema in which each `Decimal` is described."""
_BOUNDS = {"le", "ge", "lt", "gt"}
_ARGUMENTS: dict[str, set[str]] = {
    "bool": set(),
    "bytes": {"min_length", "max_length"},
    "date": {*_BOUNDS, "now_op"},
    "datetime": {*_BOUNDS, "tz_constraint", "now_op"},
    "decimal": {*_BOUNDS, "multiple_of", "max_digits", "decimal_places", "allow_inf_nan"},
    "float": {*_BOUNDS, "multiple_of", "allow_inf_nan"},
    "int": set(),
    "json": set(),
    "multi-host-url": {"max_length", "allowed_schemes", "host_required"},
    "time": {*_BOUNDS, "tz_constraint"},
    "timedelta": _BOUNDS,
    "url": {"max_length", "allowed_schemes", "host_required"},
    "uuid": {"version"},
}
"""The types that are stored, with what bounds them."""
_NOW_OFFSETS = {"past": 14 * 3600, "future": -12 * 3600}
"""The zone (seconds from UTC) by whose clock a `now_op` is judged: the flow's is not known here, so
what is past or future anywhere is taken."""
_VALUES = {*_BOUNDS, "multiple_of"}
"""What is itself of the type that it bounds."""


def description_of(core: Mapping[str, Any], bytes_mode: str = "utf8") -> Schema | None:
    """Return what is stored of a type as pydantic describes it; None for one of another kind."""
    kind = core.get("type")
    if not isinstance(kind, str) or kind not in _ARGUMENTS:
        return None
    given = {name: without_point(core[name]) for name in _ARGUMENTS[kind] & core.keys()}
    mode = {"mode": bytes_mode} if kind == "bytes" else {}
    return from_json(to_json({"type": kind, **given, **mode}, inf_nan_mode="strings"))


def is_float(schema: Schema) -> bool:
    """Tell whether a schema describes a `float` that need not be finite: then it may be a text."""
    return fields_of(schema.get(KEYWORD)).get("type") == "float"


def is_decimal(schema: Schema) -> bool:
    """Tell whether a schema describes a `Decimal`."""
    return fields_of(schema.get(KEYWORD)).get("type") == "decimal"


def moment(schema: Schema) -> str:
    """Return `past` or `future` where a schema asks for a time that is; empty elsewhere."""
    found = fields_of(schema.get(KEYWORD)).get("now_op")
    return found if isinstance(found, str) and found in _NOW_OFFSETS else ""


def core_error(description: object, value: object) -> str:
    """Return why a value is not of a described type; empty where it is, or nothing can be said."""
    try:
        read_core(description, value)
    except ValueError as error:
        return str(error)
    return ""


def read_core(description: object, value: object) -> object:
    """Read a value of a described type; as it is, where nothing can be said of it.

    Raises `ValueError`, which says in the words of the catalogue what is wrong.
    """
    judge = _judge(to_json(description))
    if judge is None:
        return value
    try:
        return judge.validate_json(to_json(value))
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        raise ValueError(core_words(cast("Schema", description), found)) from None


@lru_cache(maxsize=256)
def _judge(description: bytes) -> SchemaValidator | None:
    found = fields_of(from_json(description))
    kind = found.get("type")
    if kind not in _ARGUMENTS:
        return None
    config: CoreConfig = {"val_json_bytes": "base64"} if found.get("mode") == "base64" else {}
    given: JSONObject = {name: found[name] for name in _ARGUMENTS[kind] & found.keys()}
    try:
        if bounds := _VALUES & given.keys():
            plain = SchemaValidator(cast("CoreSchema", {"type": kind}))
            given |= {name: plain.validate_json(to_json(given[name])) for name in bounds}
        if (op := given.get("now_op")) is not None:
            given["now_utc_offset"] = _NOW_OFFSETS[str(op)]
        return SchemaValidator(cast("CoreSchema", {"type": kind, **given}), config)
    except (KeyError, SchemaError, ValidationError):
        return None
