"""How types are read: pydantic's adapters, each made once."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, NewType

from pydantic import ConfigDict, PydanticUserError, TypeAdapter

from runbus.errors import UnsupportedType
from runbus.protocol.byte_config import check_bytes_are_read_one_way, has_own_config
from runbus.protocol.literals import ReadAsWritten

if TYPE_CHECKING:
    from collections.abc import Callable

_CONFIG = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", allow_inf_nan=True)


def decoder(annotation: Any) -> Callable[[bytes], Any]:
    """Return the function that reads JSON as a type. It raises pydantic's `ValidationError`."""
    validate = adapter(annotation).validator.validate_json
    return lambda data: validate(data, by_alias=True, by_name=True)


def json_schema(annotation: Any) -> dict[str, Any]:
    """Return the JSON Schema of what a type accepts."""
    return adapter(annotation).json_schema(mode="validation")


def adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        hash(annotation)
    except TypeError:  # metadata of an Annotated may be unhashable
        return _new_adapter(annotation)
    # `list[A | B]` equals `list[B | A]`, and yet the first member that fits wins.
    return _cached_adapter(annotation, repr(annotation))


@lru_cache(maxsize=1024)
def _cached_adapter(annotation: Any, _order: str) -> TypeAdapter[Any]:
    return _new_adapter(annotation)


def _new_adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return _adapt(annotation)
    except PydanticUserError as error:  # such as a `typing.TypedDict` before Python 3.12
        raise UnsupportedType(annotation, error.message) from error


def _adapt(annotation: Any) -> TypeAdapter[Any]:
    if isinstance(annotation, type) and has_own_config(annotation):
        return TypeAdapter(annotation)
    # TypeAdapter refuses a config for a bare dataclass or TypedDict, though they would use it.
    as_written = Annotated[annotation, ReadAsWritten()]
    received = NewType("received", as_written)  # pyright: ignore[reportGeneralTypeIssues]
    adapter: TypeAdapter[Any] = TypeAdapter(received, config=_CONFIG)
    adapter.rebuild()  # raises if a forward reference has no meaning yet
    check_bytes_are_read_one_way(annotation, adapter.core_schema)
    return adapter
