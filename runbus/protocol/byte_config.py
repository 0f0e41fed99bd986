"""Which config reads the bytes of a type: a check for what pydantic would get wrong silently.

A dataclass, TypedDict or NamedTuple that occurs several times in a type is compiled once, under
one config, although inside a model its bytes are written by that model's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pydantic

from runbus.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def has_own_config(cls: type[Any]) -> bool:
    """Tell a pydantic model or pydantic dataclass from what takes the config around it."""
    return issubclass(cls, pydantic.BaseModel) or pydantic.dataclasses.is_pydantic_dataclass(cls)


def check_bytes_are_read_one_way(annotation: Any, schema: Any) -> None:
    """Raise `UsageError` for a type whose bytes would partly be read by the wrong config."""
    within = {d["ref"]: _kinds(d, into_models=False) for d in schema.get("definitions", [])}
    if not any("bytes" in kinds for kinds in within.values()):
        return
    shared = {ref for ref, kinds in within.items() if kinds & {"bytes", "definition-ref"}}
    for part in _parts(schema):
        utf8 = _is_model(part) and part.get("config", {}).get("val_json_bytes") != "base64"
        if utf8 and any(inner.get("schema_ref") in shared for inner in _parts(part)):
            model = part["cls"].__name__
            raise UsageError(
                f"{annotation!r} has a type with bytes in several places, some of them in {model}: "
                f"give {model} ConfigDict(ser_json_bytes='base64', val_json_bytes='base64')."
            )


def _kinds(schema: Any, *, into_models: bool) -> set[Any]:
    return {part.get("type") for part in _parts(schema, into_models=into_models)}


def _parts(schema: Any, *, into_models: bool = True) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        part = cast("dict[str, Any]", schema)
        yield part
        inner = part.values() if into_models or not _is_model(part) else ()
    else:
        inner = cast("Iterable[Any]", schema) if isinstance(schema, (list, tuple)) else ()
    for each in inner:
        yield from _parts(each, into_models=into_models)


def _is_model(schema: dict[str, Any]) -> bool:
    return schema.get("type") in {"model", "dataclass"} and has_own_config(schema["cls"])
