"""Secrets: what a form asks for unseen, left out where its answers are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from runbus.forms.references import fields_of, items_of
from runbus.forms.schema import names_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Set

    from runbus.forms.parts import Schema
    from runbus.protocol.json_value import JSONValue

VEIL = "…"


def without_secrets(schema: Schema | None, answer: object) -> JSONValue:
    """Return an answer with its secrets hidden, its fields in the order of the form."""
    return _veil(_in_order(schema, answer), set(_secret_names(schema)))


def _in_order(schema: Schema | None, answer: object) -> JSONValue:
    if not isinstance(answer, dict):
        return answer
    given = cast("Schema", answer)
    return {name: given[name] for name in names_of(schema) if name in given} | given


def _secret_names(schema: object) -> Iterator[str]:
    # Wherever in the form: what is called so is hidden everywhere, which is sometimes too much.
    for each in items_of(schema):
        yield from _secret_names(each)
    for name, each in fields_of(schema).items():
        if is_secret(each):
            yield name
        yield from _secret_names(each)


def is_secret(schema: object) -> bool:
    """Tell whether a schema, or one of its alternatives, marks what it asks for as a secret."""
    found = fields_of(schema)
    if found.get("format") == "password" or found.get("writeOnly") is True:
        return True
    return any(map(is_secret, items_of(found.get("anyOf")) + items_of(found.get("oneOf"))))


def _veil(value: object, names: Set[str]) -> JSONValue:
    if isinstance(value, list):
        return [_veil(each, names) for each in cast("list[JSONValue]", value)]
    if not isinstance(value, dict):
        return value
    items = cast("Schema", value).items()
    return {name: VEIL if name in names else _veil(each, names) for name, each in items}
