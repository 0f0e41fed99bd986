"""Secrets: what a form asks for unseen, left out where its answers are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from runbus.forms.references import fields_of, items_of
from runbus.forms.schema import names_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Set

    from runbus.forms.parts import Schema

VEIL = "…"


def without_secrets(schema: Schema | None, answer: Any) -> Any:
    """Return an answer with its secrets hidden, its fields in the order of the form."""
    return _veil(_in_order(schema, answer), set(_secret_names(schema)))


def _in_order(schema: Schema | None, answer: Any) -> Any:
    if not isinstance(answer, dict):
        return answer
    given = cast("Schema", answer)
    return {name: given[name] for name in names_of(schema) if name in given} | given


def _secret_names(schema: Any) -> Iterator[str]:
    # Wherever in the form: what is called so is hidden everywhere, which is sometimes too much.
    for each in items_of(schema):
        yield from _secret_names(each)
    for name, each in fields_of(schema).items():
        if _is_secret(each):
            yield name
        yield from _secret_names(each)


def _is_secret(schema: Any) -> bool:
    found = fields_of(schema)
    return found.get("format") == "password" or any(map(_is_secret, items_of(found.get("anyOf"))))


def _veil(value: Any, names: Set[str]) -> Any:
    if isinstance(value, list):
        return [_veil(each, names) for each in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    items = cast("Schema", value).items()
    return {name: VEIL if name in names else _veil(each, names) for name, each in items}
