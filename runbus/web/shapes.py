"""Shapes: what a JSON Schema, as pydantic writes it, asks a person for.

A schema says the same thing in many ways: `anyOf [X, null]` is an X that may be left blank, one
`const` is nothing to ask, `anyOf [number, string]` is a `Decimal`. A `Shape` says it in one way.
Parts of a shape are schemas still: they are read when a form comes to them, so that a model that
contains itself has an end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from pydantic_core import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, Any]
Kind = Literal[
    "text",
    "area",
    "password",
    "email",
    "url",
    "integer",
    "number",
    "decimal",
    "boolean",
    "choice",
    "constant",
    "date",
    "datetime",
    "time",
    "object",
    "list",
    "tuple",
    "map",
    "union",
    "json",
    "nothing",
]

UNSET: Final = object()
"""No value: what a field without a default has before anything is typed."""

MANY_CHARACTERS = 200
_LIMITS = {
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern", "minItems", "maxItems", "uniqueItems", "format"),
}
_FORMATS: dict[str, Kind] = {
    "date": "date",
    "date-time": "datetime",
    "email": "email",
    "multiline": "area",
    "password": "password",
    "textarea": "area",
    "time": "time",
    "uri": "url",
}
_NAMES = {
    "array": "List",
    "boolean": "Yes or no",
    "date": "Date",
    "date-time": "Date and time",
    "integer": "Whole number",
    "number": "Number",
    "object": "Fields",
    "string": "Text",
    "time": "Time",
    "uuid": "UUID",
}


@dataclass(frozen=True, kw_only=True)
class Option:
    """One value of a choice."""

    label: str
    value: Any
    text: str
    """The value's JSON: what the form sends."""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One of several shapes that a value may have."""

    label: str
    schema: Schema
    constants: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Fields that follow from the choice: the discriminator."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is asked for at one place of a form."""

    kind: Kind
    schema: Schema
    """Where it was read from, without references and without null."""
    title: str | None = None
    help: str | None = None
    nullable: bool = False
    default: Any = UNSET
    limits: Mapping[str, Any] = field(default_factory=dict[str, Any])
    examples: tuple[Any, ...] = ()
    options: tuple[Option, ...] = ()
    properties: Mapping[str, Schema] = field(default_factory=dict[str, Schema])
    required: frozenset[str] = frozenset()
    items: Schema | None = None
    prefix: tuple[Schema, ...] = ()
    branches: tuple[Branch, ...] = ()
    read_only: bool = False


class Shapes:
    """Reads the shapes of one schema and of the definitions in it."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self._definitions: dict[str, Schema] = root.get("$defs") or {}

    def of(self, schema: Any) -> Shape:
        """Return what a schema asks for; what is not understood is asked for as JSON."""
        resolved = self._resolve(schema)
        parts, nullable = self._without_null(resolved)
        shape = self._shape(parts)
        return replace(
            shape,
            title=_text(resolved.get("title")) or shape.title,
            help=_text(resolved.get("description")) or shape.help,
            default=resolved.get("default", shape.default),
            examples=_tuple(resolved.get("examples")) or shape.examples,
            read_only=bool(resolved.get("readOnly")),
            nullable=nullable or (shape.kind == "json" and resolved.get("default", 0) is None),
        )

    def whole(self, schema: Schema) -> Schema:
        """Return a part of the schema with the definitions that it refers to."""
        return {**schema, "$defs": self._definitions} if self._definitions else schema

    def _resolve(self, schema: Any) -> Schema:
        if not isinstance(schema, dict):
            return {}
        resolved = cast("Schema", schema)
        for _ in range(20):  # a chain of references that never ends is somebody's joke
            inner = self._target(resolved)
            if inner is None:
                break
            outside = {k: v for k, v in resolved.items() if k not in {"$ref", "allOf"}}
            # The name of a class says less than the name of the field.
            resolved = {**{k: v for k, v in inner.items() if k != "title"}, **outside}
        return resolved

    def _target(self, schema: Schema) -> Schema | None:
        every = schema.get("allOf")
        reference = schema.get("$ref")
        if isinstance(every, list) and len(cast("list[Any]", every)) == 1:
            only = cast("list[Any]", every)[0]
            return cast("Schema", only) if isinstance(only, dict) else None
        if isinstance(reference, str):
            return self._definitions.get(reference.removeprefix("#/$defs/"), {})
        return None

    def _without_null(self, schema: Schema) -> tuple[Schema, bool]:
        word = "anyOf" if "anyOf" in schema else "oneOf"
        branches = _tuple(schema.get(word))
        rest = [each for each in branches if not _is_null(each)]
        types = _tuple(schema.get("type"))
        if branches and len(rest) < len(branches):
            outside = {k: v for k, v in schema.items() if k != word}
            if len(rest) != 1:
                return {**outside, word: rest}, True
            inner = self._resolve(rest[0])
            return {**{k: v for k, v in inner.items() if k != "title"}, **outside}, True
        if "null" in types:
            rest_types = [each for each in types if each != "null"]
            return {**schema, "type": rest_types[0] if len(rest_types) == 1 else rest_types}, True
        if None in _tuple(schema.get("enum")):
            return {**schema, "enum": [e for e in schema["enum"] if e is not None]}, True
        return schema, False

    def _shape(self, schema: Schema) -> Shape:
        if "const" in schema:
            return Shape(kind="constant", schema=schema, default=schema["const"])
        if _tuple(schema.get("enum")):
            return Shape(kind="choice", schema=schema, options=_options(schema["enum"]))
        branches = _tuple(schema.get("anyOf")) or _tuple(schema.get("oneOf"))
        if branches:
            return self._one_of(schema, [self._resolve_keeping_title(each) for each in branches])
        return _by_type(schema)

    def _resolve_keeping_title(self, schema: Any) -> Schema:
        resolved = self._resolve(schema)
        title = resolved.get("title") or self._title_of_target(schema)
        return {**resolved, "title": title} if title else resolved

    def _title_of_target(self, schema: Any) -> str | None:
        inner = self._target(cast("Schema", schema)) if isinstance(schema, dict) else None
        return _text(inner.get("title")) if inner else None

    def _one_of(self, schema: Schema, branches: list[Schema]) -> Shape:
        if _is_decimal(branches):
            return Shape(kind="decimal", schema=schema, limits=_limits(branches[0]))
        if all("const" in each for each in branches):
            values = [each["const"] for each in branches]
            labels = [_text(each.get("title")) for each in branches]
            return Shape(kind="choice", schema=schema, options=_options(values, labels))
        by = _discriminator(schema, branches)
        return Shape(
            kind="union", schema=schema, branches=tuple(self._branch(each, by) for each in branches)
        )

    def _branch(self, schema: Schema, by: str | None) -> Branch:
        constants = {by: _properties(schema)[by]["const"]} if by else {}
        return Branch(label=_name_of(schema, constants), schema=schema, constants=constants)


def question_in(schema: Schema | None) -> str:
    """Say in few words what a schema without a description asks for."""
    if schema is None:
        return "May it go on?"
    properties = _properties(schema)
    if list(properties) == ["value"]:
        return f"Asks for an answer: {_name_of(properties['value'], {}, titled=False).lower()}"
    return humanise(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", str(schema.get("title") or "A form")))


def humanise(name: str) -> str:
    """Return a label for a field that has no title: `max_seats` is `Max seats`."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def json_text(value: Any) -> str:
    """Write a value as one line of JSON."""
    return to_json(value, inf_nan_mode="strings").decode()


def _by_type(schema: Schema) -> Shape:
    match schema.get("type"):
        case "object":
            return _object(schema)
        case "array":
            return _array(schema)
        case "string":
            return Shape(kind=_text_kind(schema), schema=schema, limits=_limits(schema))
        case "integer" | "number" | "boolean" as kind:
            return Shape(kind=kind, schema=schema, limits=_limits(schema))
        case "null":
            return Shape(kind="nothing", schema=schema, default=None)
        case _:
            return Shape(kind="json", schema=schema)


def _object(schema: Schema) -> Shape:
    properties = schema.get("properties")
    more = schema.get("additionalProperties")
    if isinstance(properties, dict) and properties:
        names = frozenset(str(each) for each in _tuple(schema.get("required")))
        fields = cast("dict[str, Schema]", properties)
        return Shape(kind="object", schema=schema, properties=fields, required=names)
    if more is False:
        return Shape(kind="object", schema=schema)
    items = cast("Schema", more) if isinstance(more, dict) else {}
    return Shape(kind="map", schema=schema, items=items, limits=_limits(schema))


def _array(schema: Schema) -> Shape:
    prefix = _tuple(schema.get("prefixItems"))
    if prefix:
        return Shape(kind="tuple", schema=schema, prefix=prefix, limits=_limits(schema))
    items = schema.get("items")
    of_items = cast("Schema", items) if isinstance(items, dict) else {}
    return Shape(kind="list", schema=schema, items=of_items, limits=_limits(schema))


def _text_kind(schema: Schema) -> Kind:
    kind = _FORMATS.get(str(schema.get("format")), "text")
    longest = schema.get("maxLength")
    is_long = isinstance(longest, int) and longest > MANY_CHARACTERS
    is_long = is_long or "\n" in str(schema.get("default", ""))
    return "area" if kind == "text" and is_long else kind


def _limits(schema: Schema) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name in _LIMITS}


def _options(values: list[Any], labels: list[str | None] | None = None) -> tuple[Option, ...]:
    return tuple(
        Option(label=label or _label_of(value), value=value, text=json_text(value))
        for value, label in zip(values, labels or [None] * len(values), strict=True)
    )


def _label_of(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)


def _name_of(schema: Schema, constants: Mapping[str, Any], *, titled: bool = True) -> str:
    if schema.get("title") and titled:
        return str(schema["title"])
    if constants:
        return humanise(str(next(iter(constants.values()))))
    if "const" in schema:
        return _label_of(schema["const"])
    name = _NAMES.get(str(schema.get("format"))) or _NAMES.get(str(schema.get("type")), "JSON")
    inner = schema.get("items")
    of = _name_of(cast("Schema", inner), {}) if isinstance(inner, dict) and inner else ""
    return f"{name} of {of.lower()}s" if of else name


def _is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and cast("Schema", schema).get("type") == "null"


def _is_decimal(branches: list[Schema]) -> bool:
    # `float | str` looks the same; words for it can be written in the JSON box.
    return [each.get("type") for each in branches] == ["number", "string"] and not (
        branches[1].keys() - {"type", "pattern"}
    )


def _discriminator(schema: Schema, branches: list[Schema]) -> str | None:
    told: Any = schema.get("discriminator")
    name = cast("Schema", told).get("propertyName") if isinstance(told, dict) else None
    return name if isinstance(name, str) and all(_fixes(each, name) for each in branches) else None


def _fixes(schema: Schema, name: str) -> bool:
    return "const" in _properties(schema).get(name, {})


def _properties(schema: Schema) -> dict[str, Schema]:
    properties: Any = schema.get("properties")
    found = cast("dict[str, Any]", properties) if isinstance(properties, dict) else {}
    return {name: part for name, part in found.items() if isinstance(part, dict)}


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(cast("list[Any]", value)) if isinstance(value, list) else ()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
