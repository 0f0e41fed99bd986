"""Secrets: what a form asks for unseen, left out where its answers are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from runbus.forms.references import fields_of, items_of, target_of
from runbus.forms.schema import names_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Set

    from runbus.forms.parts import Schema
    from runbus.protocol.json_value import JSONObject, JSONValue

VEIL = "…"
_DEEPEST = 8
"""How deep lists of lists are looked into: what is nested deeper is nobody's form."""


def without_secrets(schema: Schema | None, answer: object) -> JSONValue:
    """Return an answer with its secrets hidden, its fields in the order of the form."""
    return _veil(_in_order(schema, answer), hidden_names(schema))


def _in_order(schema: Schema | None, answer: object) -> JSONValue:
    if not isinstance(answer, dict):
        return answer
    given = cast("Schema", answer)
    return {name: given[name] for name in names_of(schema) if name in given} | given


def without_defaults(schema: JSONObject) -> JSONObject:
    """Return a schema without the defaults of secrets: they are the flow's to fill in."""
    return cast("JSONObject", _without_defaults(schema, schema))


def _without_defaults(root: Schema, schema: JSONValue) -> JSONValue:
    if isinstance(schema, list):
        return [_without_defaults(root, each) for each in items_of(schema)]
    if not isinstance(schema, dict):
        return schema
    kept = fields_of(schema)
    dropped = {"default", "examples"} if is_secret(root, kept) else set[str]()
    return {
        name: _without_defaults(root, each)
        for name, each in kept.items()
        if name not in dropped or each is None  # null tells nothing
    }


def hidden_names(schema: Schema | None) -> frozenset[str]:
    """Return the names of the fields whose values are shown nowhere."""
    return frozenset(_secret_names(schema or {}, schema))


def _secret_names(root: Schema, schema: object) -> Iterator[str]:
    # Wherever in the form: what is called so is hidden everywhere, which is sometimes too much.
    for each in items_of(schema):
        yield from _secret_names(root, each)
    for each in fields_of(schema).values():
        yield from _secret_names(root, each)
    for name, each in fields_of(fields_of(schema).get("properties")).items():
        if is_secret(root, each):
            yield name


def is_secret(root: Schema, schema: object, depth: int = 0) -> bool:
    """Tell whether a schema marks what it is for as a secret, or the items of it."""
    found = fields_of(schema)
    if found.get("format") == "password" or found.get("writeOnly") is True:
        return True
    if depth > _DEEPEST:
        return False
    inner = [found.get("items"), found.get("additionalProperties"), target_of(root, found)]
    for word in ("anyOf", "oneOf", "allOf", "prefixItems"):
        inner += items_of(found.get(word))
    return any(is_secret(root, each, depth + 1) for each in inner if each)


def _veil(value: object, names: Set[str]) -> JSONValue:
    if isinstance(value, list):
        return [_veil(each, names) for each in cast("list[JSONValue]", value)]
    if not isinstance(value, dict):
        return value
    items = cast("Schema", value).items()
    return {name: VEIL if name in names else _veil(each, names) for name, each in items}
