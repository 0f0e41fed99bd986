"""Secrets: what a form asks for unseen, left out where its answers are shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from pydantic_core import from_json, to_json

from runbus.forms.references import fields_of, items_of, target_of
from runbus.forms.schema import names_of
from runbus.protocol.values import read_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Set

    from runbus.forms.parts import Schema
    from runbus.protocol.json_value import JSONObject, JSONValue

VEIL = "…"
_GIVEN = {"default", "examples"}
"""What a schema gives of a value."""


def without_secrets(schema: Schema | None, answer: object) -> JSONValue:
    """Return an answer with its secrets hidden, its fields in the order of the form."""
    return veiled(_in_order(schema, answer), hidden_names(schema))


def veiled_json(schema: Schema | None, data: bytes | None) -> bytes | None:
    """Return the JSON of an answer with its secrets hidden; as it is where the form has none."""
    if data is None or not hidden_names(schema):
        return data
    return to_json(without_secrets(schema, read_json(data)))


def fillable(schema: Schema | None, data: bytes, names: Iterable[str]) -> bytes | None:
    """Return the JSON of an answer as a form is filled with it: without its secrets.

    Those are the fields that are secret in the form, and those with one of the `names`. None for
    what is no object.
    """
    try:
        answer = from_json(data)
    except ValueError:
        return None
    hidden = hidden_names(schema).union(names)
    return to_json(_without(answer, hidden)) if isinstance(answer, dict) else None


def _without(value: JSONValue, names: Set[str]) -> JSONValue:
    if isinstance(value, list):
        return [_without(each, names) for each in items_of(value)]
    if not isinstance(value, dict):
        return value
    items = fields_of(value).items()
    return {name: _without(each, names) for name, each in items if name not in names}


def veiled_text(text: str, schema: object, answer: object) -> str:
    """Return a text, such as an error, without the secrets of the answer that it is about."""
    names = hidden_names(cast("Schema", schema))
    secrets = set(_secrets(answer, names)) if names else ()
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, VEIL)
    return text


def _secrets(value: object, names: Set[str], *, is_hidden: bool = False) -> Iterator[str]:
    for name, each in fields_of(value).items():
        yield from _secrets(each, names, is_hidden=is_hidden or name in names)
    for each in items_of(value):
        yield from _secrets(each, names, is_hidden=is_hidden)
    if is_hidden and isinstance(value, (str, int, float)) and not isinstance(value, bool) and value:
        yield from _spellings(value)


def _spellings(secret: str | float) -> Iterator[str]:
    # As JSON and Python write it, without the quotes, and as a validator may have changed it.
    text = str(secret)
    written = json.dumps(secret, ensure_ascii=False)
    yield from (text, written.strip('"') or written, repr(text)[1:-1])
    yield from filter(None, (text.strip(), text.strip().lower(), text.strip().upper()))


def _in_order(schema: Schema | None, answer: object) -> JSONValue:
    if not isinstance(answer, dict):
        return answer
    given = cast("Schema", answer)
    return {name: given[name] for name in names_of(schema) if name in given} | given


def without_secret_defaults(schema: JSONObject) -> JSONObject:
    """Return a schema without the defaults of secrets: they are the flow's to fill in."""
    return cast("JSONObject", _without_defaults(_Marks(schema), schema))


def _without_defaults(marks: _Marks, schema: JSONValue) -> JSONValue:
    if isinstance(schema, list):
        return [_without_defaults(marks, each) for each in items_of(schema)]
    if not isinstance(schema, dict):
        return schema
    kept = fields_of(schema)
    if (kept.get("default") or kept.get("examples")) and marks.secret(kept):
        kept = {name: each for name, each in kept.items() if name not in _GIVEN}
    return {name: _without_defaults(marks, each) for name, each in kept.items()}


def hidden_names(schema: Schema | None) -> frozenset[str]:
    """Return the names of the fields whose values are shown nowhere."""
    return frozenset(_secret_names(_Marks(schema or {}), schema))


def _secret_names(marks: _Marks, schema: object) -> Iterator[str]:
    # Wherever in the form: what is called so is hidden everywhere, which is sometimes too much.
    for each in items_of(schema):
        yield from _secret_names(marks, each)
    for each in fields_of(schema).values():
        yield from _secret_names(marks, each)
    for name, each in fields_of(fields_of(schema).get("properties")).items():
        if marks.secret(each):
            yield name


def is_secret(root: Schema, schema: object) -> bool:
    """Tell whether a schema marks what it is for as a secret, or the items of it."""
    return _Marks(root).secret(schema)


class _Marks:
    """Which parts of a schema are marked as secret; each is looked at once, however they refer."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._known: dict[int, bool] = {}

    def secret(self, schema: object) -> bool:
        """Whether a schema marks what it is for as a secret, or the items of it."""
        found = fields_of(schema)
        if id(found) not in self._known:
            self._known[id(found)] = False  # where it leads back to itself
            self._known[id(found)] = self._looked_at(found)
        return self._known[id(found)]

    def _looked_at(self, found: Schema) -> bool:
        if found.get("format") == "password" or found.get("writeOnly") is True:
            return True
        inner = [found.get("items"), found.get("additionalProperties")]
        inner.append(target_of(self._root, found))
        for word in ("anyOf", "oneOf", "allOf", "prefixItems"):
            inner += items_of(found.get(word))
        return any(self.secret(each) for each in inner if each)


def veiled(value: object, names: Set[str]) -> JSONValue:
    """Return a value in which what has one of the `names` is hidden."""
    if isinstance(value, list):
        return [veiled(each, names) for each in cast("list[JSONValue]", value)]
    if not isinstance(value, dict):
        return value
    items = cast("Schema", value).items()
    return {name: VEIL if name in names else veiled(each, names) for name, each in items}
