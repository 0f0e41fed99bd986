"""Literals whose members are not what JSON has for them: members of enums, and bytes.

Pydantic writes such a member as its value, but reads only the member itself. So each of these
literals, wherever in a type, also reads what is written for its members.
"""

from __future__ import annotations

from enum import Enum
from types import NoneType
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import core_schema, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from pydantic import GetCoreSchemaHandler

    Resolve = Callable[[Any], dict[str, Any]]

_NO_SCHEMA = {"default", "expected", "metadata", "serialization"}
"""What is the user's own in a schema, whatever it looks like."""


class ReadAsWritten:
    """Metadata of an `Annotated`: the literals in its type read what is written for them.

    Models in it are left as they are: each is read by the rules of its own class.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return with_literals_read_as_written(handler(source), handler, bytes_mode="base64")


def with_literals_read_as_written(
    schema: core_schema.CoreSchema, handler: GetCoreSchemaHandler, *, bytes_mode: Any
) -> core_schema.CoreSchema:
    """Return a type's new schema, whose literals were changed in place."""
    resolve = cast("Resolve", handler.resolve_ref_schema)
    resolved = resolve(schema)
    inner = resolved["schema"] if _is_model(resolved) else resolved
    # Listed first: what takes the place of a literal has that literal in it.
    for literal in list(_literals(inner, resolve, set())):
        _read_as_written(literal, bytes_mode)
    return schema


def _read_as_written(literal: dict[str, Any], bytes_mode: Any) -> None:
    if by_written := _members_by_what_is_written(literal["expected"], bytes_mode):
        reference = {"ref": literal.pop("ref")} if "ref" in literal else {}
        either = _either(literal.copy(), by_written)
        literal.clear()
        literal.update(either, **reference)


def _literals(schema: Any, resolve: Resolve, seen: set[int]) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        part = cast("dict[str, Any]", schema)
        if id(part) in seen or _is_model(part):
            return
        seen.add(id(part))
        if part.get("type") == "literal":
            yield part
        schema = [resolve(part)] if part.get("type") == "definition-ref" else _inner(part)
    if isinstance(schema, (list, tuple)):
        for each in cast("list[Any]", schema):
            yield from _literals(each, resolve, seen)


def _inner(part: dict[str, Any]) -> list[Any]:
    if isinstance(part.get("type"), str):
        return [value for name, value in part.items() if name not in _NO_SCHEMA]
    return list(part.values())  # of fields or choices, by name


def _is_model(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "model" and isinstance(schema.get("cls"), type)


def _members_by_what_is_written(members: list[Any], bytes_mode: Any) -> dict[Hashable, Any]:
    """Return the members of a literal that pydantic could not read back, with all the others."""
    if all(isinstance(member, (str, int, NoneType)) for member in members):
        return {}
    by_written: dict[Hashable, Any] = {}
    for member in members:
        written = from_json(to_json(member, bytes_mode=bytes_mode, inf_nan_mode="strings"))
        if isinstance(written, (str, int, float, NoneType)):  # a literal has nothing else
            by_written.setdefault(written, member)
    return by_written


def _either(literal: dict[str, Any], by_written: dict[Hashable, Any]) -> Any:
    """Return a schema that takes a literal's members and what is written for them.

    A union of literals, not a function before one: pydantic looks for literals when a field tells
    models apart.
    """
    written = core_schema.no_info_after_validator_function(
        by_written.__getitem__, core_schema.literal_schema(list(by_written))
    )
    members = cast("core_schema.CoreSchema", literal)
    return core_schema.union_schema(
        [members, written],
        mode="left_to_right",
        custom_error_type="literal_error",
        custom_error_context={"expected": _listed(literal["expected"])},
    )


def _listed(members: list[Any]) -> str:
    shown = [repr(each.value if isinstance(each, Enum) else each) for each in members]
    return " or ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
