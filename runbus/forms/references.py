"""References of a schema: where they lead, and how a part of a schema takes them along."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runbus.forms.parts import Schema
    from runbus.protocol.json_value import JSONValue

LONGEST_CHAIN = 50
"""How many references are followed, one after the other: some lead in a circle."""
_WHOLE = "urn:runbus:form"


def fields_of(value: JSONValue) -> Schema:
    """Return an object as it is, and nothing for what is none."""
    return cast("Schema", value) if isinstance(value, dict) else {}


def items_of(value: JSONValue) -> list[JSONValue]:
    """Return a list as it is, and nothing for what is none."""
    return cast("list[JSONValue]", value) if isinstance(value, list) else []


def resolve(root: Schema, schema: object) -> Schema:
    """Follow references; what stands beside one comes before what it leads to.

    The title of what it leads to is left out: two fields may hold an address each.
    """
    found = fields_of(schema)
    for _ in range(LONGEST_CHAIN):
        target = target_of(root, found)
        if target is None:
            break
        inner = {name: each for name, each in target.items() if name != "title"}
        found = inner | {name: found[name] for name in found.keys() - {"$ref", "allOf"}}
    return found


def target_of(root: Schema, schema: Schema) -> Schema | None:
    """Return what a schema refers to; None for one that does not refer."""
    if isinstance(reference := schema.get("$ref"), str):
        return _follow(root, reference)
    every = items_of(schema.get("allOf"))
    return fields_of(every[0]) if len(every) == 1 else None


def _follow(root: Schema, reference: str) -> Schema:
    if reference.startswith(_WHOLE):  # from a part that stands alone
        reference = reference.removeprefix(_WHOLE)
        root = fields_of(fields_of(root.get("$defs")).get("form"))
    if not reference.startswith("#"):  # what is elsewhere is not fetched
        return {}
    found: JSONValue = root
    for step in unquote(reference[1:]).split("/")[1:]:
        found = fields_of(found).get(step.replace("~1", "/").replace("~0", "~"))
    return fields_of(found)


def along(root: JSONValue, path: Iterable[str | int]) -> Iterator[Schema]:
    """Yield the schemas on the way to a keyword, outermost first; `$ref` leads where it leads."""
    found: JSONValue = root
    for step in path:
        if isinstance(found, dict):
            schema = fields_of(found)
            yield schema
            found = schema.get(str(step))
            if step == "$ref" and isinstance(found, str):
                found = _follow(fields_of(root), found)
        else:
            items = items_of(found)
            found = items[step] if isinstance(step, int) and step < len(items) else None


def standalone(root: Schema, schema: Schema) -> Schema:
    """Return a part of a schema as a schema of its own, whose references still lead into `root`."""
    if not _has_references(schema):
        return schema
    return _leading(schema) | {"$defs": {"form": root | {"$id": _WHOLE}}}


def _has_references(schema: JSONValue) -> bool:
    if isinstance(schema, list):
        return any(map(_has_references, items_of(schema)))
    inner = fields_of(schema)
    return "$ref" in inner or any(map(_has_references, inner.values()))


def _leading(schema: JSONValue) -> JSONValue:
    if isinstance(schema, list):
        return [_leading(each) for each in items_of(schema)]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _WHOLE + each if name == "$ref" and str(each).startswith("#") else _leading(each)
        for name, each in fields_of(schema).items()
    }
