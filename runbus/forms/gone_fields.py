"""Fields that are gone: an answer to an older form, as a form is asked that has fewer fields.

An answer is stored with the form's defaults, so of a field that was left out it has a value that
nobody gave. Where a newer form has no such field, that value is nothing to ask about again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from runbus.forms.defaults import is_same
from runbus.forms.references import LONGEST_CHAIN, fields_of, items_of, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbus.forms.parts import Schema
    from runbus.protocol.json_value import JSONValue


def without_gone_defaults(old: Schema | None, new: Schema | None, answer: JSONValue) -> JSONValue:
    """Return an answer to the `old` form without what the `new` one does not ask for.

    That is left out which has the old form's default; a value that differs was given by somebody.
    """
    return _Fields(old or {}, new or {}).left(answer, [old or {}], [new or {}])


class _Fields:
    """The fields of two forms, side by side."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old
        self._new = new

    def left(self, value: JSONValue, old: list[Schema], new: list[Schema]) -> JSONValue:
        """Return what is left of a value that may be of any of these schemas."""
        if not isinstance(value, (dict, list)):
            return value
        before = list(_kinds(self._old, old, value))
        now = list(_kinds(self._new, new, value))
        if not before or not now:
            return cast("JSONValue", value)
        if isinstance(value, list):
            items = items_of(value)
            return [self._inner(each, before, now, at) for at, each in enumerate(items)]
        return {
            name: self._inner(each, before, now, name)
            for name, each in fields_of(value).items()
            if not _is_gone(name, each, before, now)
        }

    def _inner(
        self, value: JSONValue, old: list[Schema], new: list[Schema], step: str | int
    ) -> JSONValue:
        return self.left(
            value, [_at(each, step) for each in old], [_at(each, step) for each in new]
        )


def _is_gone(name: str, value: JSONValue, old: list[Schema], new: list[Schema]) -> bool:
    if any(name in fields_of(each.get("properties")) for each in new):
        return False
    known = [fields_of(each.get("properties")) for each in old]
    asked = [fields_of(fields[name]) for fields in known if name in fields]
    return bool(asked) and all(
        "default" in field and is_same(value, field["default"]) for field in asked
    )


def _kinds(root: Schema, schemas: list[Schema], value: JSONValue) -> Iterator[Schema]:
    """Yield the schemas, without references and choices, that an object or a list may be of."""
    for schema, _ in zip(_branches(root, schemas), range(LONGEST_CHAIN), strict=False):
        if isinstance(value, list) or _may_be(root, schema, fields_of(value)):
            yield schema


def _branches(root: Schema, schemas: list[Schema]) -> Iterator[Schema]:
    waiting = [(each, 0) for each in schemas]
    while waiting:
        found, depth = waiting.pop(0)
        found = resolve(root, found)
        inner = items_of(found.get("anyOf")) + items_of(found.get("oneOf"))
        if not inner:
            yield found
        elif depth < LONGEST_CHAIN:
            waiting += [(fields_of(each), depth + 1) for each in inner]


def _may_be(root: Schema, schema: Schema, value: Schema) -> bool:
    if not value.keys() >= set(map(str, items_of(schema.get("required")))):
        return False
    fields = fields_of(schema.get("properties"))
    fixed = {name: resolve(root, fields_of(each)) for name, each in fields.items()}
    return all(
        is_same(value[name], each["const"])
        for name, each in fixed.items()
        if "const" in each and name in value
    )


def _at(schema: Schema, step: str | int) -> Schema:
    """Return the schema of an item or a field."""
    if isinstance(step, int):
        places = items_of(schema.get("prefixItems"))
        return fields_of(places[step] if step < len(places) else schema.get("items"))
    fields = fields_of(schema.get("properties"))
    return fields_of(fields.get(step, schema.get("additionalProperties")))
