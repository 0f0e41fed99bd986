"""A form: what a JSON Schema, as pydantic writes it, asks a person for, one part at a time.

A schema says the same thing in many ways: `anyOf [X, null]` is an X that may be left out, a
`$ref` is what it points to, alternatives that are all constants are one choice. A `Part` says it in
one way. What is inside of a part stays a schema until it is asked for, so that a model that
contains itself has an end. What makes no sense in a schema is as if it were not there: a form may
come from any program.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal, cast

Schema = dict[str, Any]
Kind = Literal[
    "boolean", "integer", "number", "string", "choice", "list", "tuple", "model", "map", "union",
    "json",
]  # fmt: skip

NOTHING: Final[Any] = object()
"""No value: a default that is not there, and the answer for a field that is left out."""

_DEEPEST = 50
_BY_TYPE: dict[str, Kind] = {
    "boolean": "boolean",
    "integer": "integer",
    "number": "number",
    "string": "string",
    "array": "list",
    "object": "map",
}
FORMATS = {
    "date": "a date, YYYY-MM-DD",
    "date-time": "a time, YYYY-MM-DDTHH:MM:SS+00:00",
    "time": "a time of the day, HH:MM:SS",
    "duration": "a duration, such as P1DT2H or PT30S",
    "email": "an e-mail address",
    "uri": "a URL",
    "uuid": "a UUID",
    "password": "it is not shown",
}
_WORDS: dict[Kind, str] = {
    "boolean": "yes or no",
    "integer": "a whole number",
    "number": "a number",
    "list": "a list",
    "tuple": "a list",
    "map": "names with values",
    "json": "JSON",
}
_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "pattern": "like {}",
}


@dataclass(frozen=True, kw_only=True)
class Part:
    """One value that a form asks for."""

    title: str
    kind: Kind
    schema: Schema
    """What the value must fit, without its null."""
    help: str = ""
    default: Any = NOTHING
    required: bool = True
    nullable: bool = False
    """Whether there may be null instead of a value."""

    @property
    def is_hidden(self) -> bool:
        """Whether nobody may look over the shoulder."""
        return self.schema.get("format") == "password"

    def options(self) -> list[Any]:
        """Return the values of a choice."""
        alternatives = _alternatives(self.schema)
        return _constants(self.schema) + [each for one in alternatives for each in _constants(one)]

    def hint(self) -> str:
        """Return what can be typed, in a few words."""
        words = [FORMATS.get(str(self.schema.get("format")), _WORDS.get(self.kind, ""))]
        words += [
            text.format(self.schema[name]) for name, text in _LIMITS.items() if name in self.schema
        ]
        if not self.required or self.nullable:
            words.append("optional")
        return ", ".join(word for word in words if word)


def fields_of(value: Any) -> Schema:
    """Return an object as it is, and nothing for what is none."""
    return cast("Schema", value) if isinstance(value, dict) else {}


def items_of(value: Any) -> list[Any]:
    """Return a list as it is, and nothing for what is none."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def parts(root: Schema, schema: Schema) -> dict[str, Part]:
    """Return what a model asks for: field → part."""
    found = _resolved(root, schema)  # a model that contains itself is a reference to itself
    required = items_of(found.get("required"))
    fields = fields_of(found.get("properties"))
    return {
        name: part(root, each, name, required=name in required) for name, each in fields.items()
    }


def part(root: Schema, schema: Any, name: str, *, required: bool = True) -> Part:
    """Read the schema of one value."""
    found = _resolved(root, schema)
    alternatives = [_resolved(root, each) for each in _alternatives(found)]
    some = [each for each in alternatives if each.get("type") != "null"]
    if len(some) == 1:
        found = some[0] | {name: found[name] for name in found.keys() - {"anyOf", "oneOf"}}
    elif some:
        found = found | {("anyOf" if "anyOf" in found else "oneOf"): some}
    nullable = len(some) < len(alternatives)
    if named := items_of(found.get("type")):
        types = [each for each in named if each != "null"]
        nullable |= len(types) < len(named)
        found = found | {"type": types[0] if len(types) == 1 else types}
    return Part(
        title=_title(schema, name),
        kind=_kind(found),
        schema=found,
        help=str(found.get("description") or ""),
        default=found.get("default", NOTHING),
        required=required,
        nullable=nullable,
    )


def _title(schema: Any, name: str) -> str:
    # Not that of the model which a reference leads to: two fields may hold an address each.
    own = fields_of(schema).get("title")
    return str(own or name.replace("_", " ").capitalize())


def alternatives(root: Schema, wanted: Part) -> list[Part]:
    """Return what a union may be."""
    schemas = [_resolved(root, each) for each in _alternatives(wanted.schema)]
    return [part(root, each, "") for each in schemas]


def with_default(found: Part, default: Any) -> Part:
    """Return a part that offers another value."""
    return found if default is NOTHING else replace(found, default=default)


def _kind(schema: Schema) -> Kind:
    if _constants(schema):
        return "choice"
    if alternatives := _alternatives(schema):
        return "choice" if all(map(_constants, alternatives)) else "union"
    if items_of(schema.get("prefixItems")) and isinstance(schema.get("items", False), bool):
        return "tuple"
    if schema.get("type") == "object" and fields_of(schema.get("properties")):
        return "model"
    found = schema.get("type")
    return _BY_TYPE.get(found, "json") if isinstance(found, str) else "json"


def _constants(schema: Schema) -> list[Any]:
    return [schema["const"]] if "const" in schema else items_of(schema.get("enum"))


def _alternatives(schema: Schema) -> list[Schema]:
    found = items_of(schema.get("anyOf")) or items_of(schema.get("oneOf"))
    return [each for each in found if isinstance(each, dict)]


def _resolved(root: Schema, schema: Any) -> Schema:
    """Follow references; what stands beside a reference comes before what it leads to."""
    found = fields_of(schema)
    for _ in range(_DEEPEST):
        if "$ref" in found:
            target = _target(root, str(found["$ref"]))
        elif len(every := items_of(found.get("allOf"))) == 1:
            target = fields_of(every[0])
        else:
            break
        found = target | {name: found[name] for name in found.keys() - {"$ref", "allOf"}}
    return found


def _target(root: Schema, reference: str) -> Schema:
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = fields_of(found).get(name)
    return fields_of(found)
