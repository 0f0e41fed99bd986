"""Values on the wire: JSON, by pydantic, in both directions.

Bytes are base64, except inside a pydantic model or pydantic dataclass: there its own config
decides, in both directions. Numbers that JSON lacks are strings (`"NaN"`).
Fields travel under their names, because a field may be read by another alias than it is written
by; a receiver accepts names and aliases.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, NewType

import orjson
import pydantic
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import SchemaSerializer, core_schema, from_json, to_jsonable_python

from runbus.errors import NotSerializable, UnsupportedType
from runbus.protocol.byte_config import check_bytes_are_read_one_way, has_own_config
from runbus.protocol.literals import ReadAsWritten
from runbus.protocol.types import types_by_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import TypeAdapter, ValidationError

    from runbus.protocol.json_value import JSONObject, JSONValue

_CONFIG = pydantic.ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", allow_inf_nan=True)
_STARS = b'"**********"'
"""What pydantic writes for a secret, and hardly for anything else."""


def load_pydantic() -> None:
    """Let pydantic import now what it imports at its first use: most values are sent without that.

    A signal that interrupts an import in a verb leaves Python's import lock held, and the
    background loop hangs in its own. So this is for modules that come with a flow or a model.
    """
    types_by_name(str)
    decoder(str)


def encode(value: object) -> bytes:
    """Return a value's JSON, in UTF-8. Raises `NotSerializable`, for a secret too."""
    try:
        data = _to_json(value)
        if data.find(_STARS) >= 0:
            _refuse_secrets(value)
        # Not `in`, which first takes the text for a number.
        return data if data.find(b"null") < 0 else _with_lost_numbers(data, value)
    except NotSerializable:
        raise
    except Exception as error:
        raise NotSerializable(value, _reason(value, error)) from error


def _refuse_secrets(value: object) -> None:
    from runbus.protocol.secret_values import secret_in  # late: it loads pydantic's models

    place = secret_in(value)
    if place is not None:
        raise NotSerializable(
            value,
            f"{f'`{place}` is' if place else 'it is'} a secret, and would lie readable on the "
            "server. Keep it elsewhere and send where it is, encrypt it (`encode` and `decode` of "
            "a RunInput), or pass its get_secret_value() if it may be read there.",
        )


def _reason(value: object, error: Exception) -> str:
    if isinstance(value, type):
        return f"{value.__name__} is a class, pass an instance of it"
    first_line = str(error).partition("\n")[0].removeprefix("Error serializing to JSON: ")
    return f"it must be something that pydantic writes as JSON ({first_line})"


def decoder(annotation: Any) -> Callable[[bytes], Any]:
    """Return the function that reads JSON as a type. It raises pydantic's `ValidationError`."""
    return _decoder_of(_adapter(annotation))


@lru_cache(maxsize=1024)  # one for all who receive a type: tens of thousands may wait
def _decoder_of(adapter: TypeAdapter[Any]) -> Callable[[bytes], Any]:
    validate = adapter.validator.validate_json
    return lambda data: validate(data, by_alias=True, by_name=True)


def takes_decimals(annotation: Any) -> bool:
    """Tell whether a `Decimal` is somewhere in a type."""
    return "'type': 'decimal'" in str(_adapter(annotation).core_schema)


def read_json(data: bytes | None) -> JSONValue:
    """Read stored JSON to show it; what is none, such as an input added by hand, is its text."""
    if not data:
        return None
    try:
        return from_json(data)
    except ValueError:
        return data.decode(errors="replace")


def is_broken_json(error: ValidationError) -> bool:
    """Tell bytes that are not JSON at all from JSON that does not fit the type."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    # With a location it is a text inside the JSON that should have been JSON in turn.
    return first["type"] == "json_invalid" and not first["loc"]


def json_schema(
    annotation: object, writer: type[GenerateJsonSchema] = GenerateJsonSchema
) -> JSONObject:
    """Return the JSON Schema of what a type accepts."""
    return _adapter(annotation).json_schema(mode="validation", schema_generator=writer)


def _by_own_type(value: object) -> object:
    """Serialise what `to_json` does not know but pydantic has a schema for."""
    try:
        serializer = _adapter(type(value)).serializer
    except UnsupportedType:
        raise TypeError(f"a {type(value).__name__} is not") from None
    return serializer.to_python(value, mode="json", by_alias=False, round_trip=True)


# A serializer that is made once: `pydantic_core.to_json` makes one for each value.
_anything = SchemaSerializer(
    core_schema.any_schema(),
    core_schema.CoreConfig(ser_json_bytes="base64", ser_json_inf_nan="strings"),
)


_PLAIN = frozenset({str, int, float, bool, list, dict})
"""What is tried with orjson first: on these alone both write the same bytes."""
_LEFT_ALONE = (
    orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)


def _to_json(value: object) -> bytes:
    if type(value) in _PLAIN:
        with suppress(orjson.JSONEncodeError):  # there is something in it that is not plain
            return orjson.dumps(value, option=_LEFT_ALONE)
    return _by_pydantic(value)


def _by_pydantic(value: object) -> bytes:
    # `round_trip` leaves out computed fields, which a receiver would refuse or compute anew.
    return _anything.to_json(value, by_alias=False, round_trip=True, fallback=_by_own_type)


def _to_jsonable(value: object) -> object:
    return to_jsonable_python(
        value,
        by_alias=False,
        round_trip=True,
        fallback=_by_own_type,
        bytes_mode="base64",
        inf_nan_mode="constants",
    )


def _with_lost_numbers(data: bytes, value: object) -> bytes:
    """Write NaN and the infinities of models too, for which their own default is null.

    Through Python objects, where a model leaves them as they are. The longer result counts: a
    number written out is longer than null, and an iterator was used up by the first pass.
    """
    return max(data, _by_pydantic(_to_jsonable(value)), key=len)


def _adapter(annotation: object) -> TypeAdapter[object]:
    try:
        hash(annotation)
    except TypeError:  # metadata of an Annotated may be unhashable
        return _new_adapter(annotation)
    # `list[A | B]` equals `list[B | A]`, and yet the first member that fits wins.
    return _cached_adapter(annotation, repr(annotation))


@lru_cache(maxsize=1024)
def _cached_adapter(annotation: object, _order: str) -> TypeAdapter[object]:
    return _new_adapter(annotation)


def _new_adapter(annotation: object) -> TypeAdapter[object]:
    try:
        return _adapt(annotation)
    except pydantic.PydanticUserError as error:  # such as a `typing.TypedDict` before Python 3.12
        raise UnsupportedType(annotation, error.message) from error


def _adapt(annotation: object) -> TypeAdapter[object]:
    if isinstance(annotation, type) and has_own_config(annotation):
        return pydantic.TypeAdapter(annotation)
    # TypeAdapter refuses a config for a bare dataclass or TypedDict, though they would use it.
    as_written = Annotated[annotation, ReadAsWritten()]
    received = NewType("received", as_written)  # pyright: ignore[reportGeneralTypeIssues]
    adapter: TypeAdapter[object] = pydantic.TypeAdapter(received, config=_CONFIG)
    adapter.rebuild()  # raises if a forward reference has no meaning yet
    check_bytes_are_read_one_way(annotation, adapter.core_schema)
    return adapter
