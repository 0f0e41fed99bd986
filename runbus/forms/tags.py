"""Tags: the constants by which an object says of which kind it is, where several are asked for.

A schema names the tag of its kinds as their `discriminator`: pydantic needs that one always, though
each kind may have a default for it. Elsewhere it is a field that each of the kinds fixes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic_core import to_json

from runbus.forms.defaults import is_same
from runbus.forms.references import fields_of, items_of, resolve

if TYPE_CHECKING:
    from runbus.forms.parts import Schema
    from runbus.protocol.json_value import JSONValue


MOST_KINDS = 100
"""How many kinds are looked at: a schema may lead back to itself, and of more nobody reads."""


@dataclass(frozen=True, kw_only=True)
class Tags:
    """The tag of the kinds of a schema."""

    name: str
    """Of the field that it is in."""
    values: list[JSONValue]
    """Those of all kinds."""
    required: bool

    def has(self, value: object) -> bool:
        """Tell whether a value is the tag of one of the kinds."""
        return any(is_same(value, each) for each in self.values)


def discriminator(schema: Schema) -> str:
    """Return the name of the tag that a schema requires of its kinds; empty where it does not."""
    name = fields_of(schema.get("discriminator")).get("propertyName")
    return name if isinstance(name, str) and _kinds(schema) else ""


def tags_of(root: Schema, schema: Schema) -> Tags | None:
    """Return the tag that tells the kinds of a schema apart; None where there is none."""
    kinds = _objects(root, schema)
    required = discriminator(schema)
    for name in [required] if required else fields_of(kinds[0].get("properties")) if kinds else ():
        fixed = [_fixed(root, each, name) for each in kinds]
        if fixed and all(fixed):
            values = {to_json(value): value for each in fixed for value in each}
            return Tags(name=name, values=list(values.values()), required=bool(required))
    return None


def _kinds(schema: Schema) -> list[JSONValue]:
    return items_of(schema.get("oneOf")) or items_of(schema.get("anyOf"))


def _objects(root: Schema, schema: Schema) -> list[Schema]:
    """Return the kinds of a schema that may be objects, those of its kinds among them."""
    found: list[Schema] = []
    left = list(_kinds(schema))
    for _ in range(MOST_KINDS):
        if not left:
            return found
        kind = resolve(root, left.pop(0))
        if inner := _kinds(kind):
            left = [*inner, *left]
        elif kind.get("type", "object") == "object" and not {"const", "enum"} & kind.keys():
            found.append(kind)
    return []


def _fixed(root: Schema, kind: Schema, name: str) -> list[JSONValue]:
    field = resolve(root, fields_of(kind.get("properties")).get(name))
    return [field["const"]] if "const" in field else items_of(field.get("enum"))
