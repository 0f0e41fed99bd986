"""The reader of schemas: what a JSON Schema, as pydantic writes it, asks for.

A schema says the same thing in many ways: `anyOf [X, null]` is an X that may be left out, a `$ref`
is what it points to, alternatives that are all constants are one choice, `anyOf [number, string]`
is a `Decimal`. A `Part` says it in one way. What makes no sense in a schema is as if it were not
there, and what is not understood is asked for as JSON: a form may come from any program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.forms.core_types import KEYWORD, MARK, OWN, is_decimal
from runbus.forms.limits import limits_of
from runbus.forms.parts import (
    UNSET,
    Boolean,
    Branch,
    Choice,
    Constant,
    Json,
    List,
    Map,
    Nothing,
    Number,
    Object,
    Option,
    Part,
    Text,
    Tuple,
    Union,
)
from runbus.forms.references import fields_of, items_of, resolve, target_of
from runbus.forms.values import Mistyped, json_text, label, read_value
from runbus.forms.wording import humanise, in_words, noun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runbus.forms.parts import Schema
    from runbus.protocol.json_value import JSONObject, JSONValue


def names_of(schema: Schema | None) -> list[str]:
    """Return the names of the fields that a form asks for."""
    root = schema or {}
    return list(fields_of(resolve(root, root).get("properties")))


def is_one_value(schema: Schema | None) -> bool:
    """Tell whether a form asks for one value, as a pause for a built-in type does."""
    return names_of(schema) == ["value"]


class SchemaReader:
    """Reads the parts of one schema and of the definitions in it."""

    def __init__(self, root: Schema) -> None:
        self.root = root

    def form(self) -> Part:
        """Read the whole schema."""
        return self.part(self.root)

    def fields(self, found: Object) -> Iterator[tuple[str, Part]]:
        """Read the fields of an object, each when it is come to: there may be many."""
        for name, each in found.properties.items():
            yield name, self.part(each, name, required=name in found.required_names)

    def part(self, schema: object, name: str = "", *, required: bool = True) -> Part:
        """Read the schema of one value; `name` titles what has no title."""
        stated = resolve(self.root, schema)
        wanted, nullable = self._without_null(stated)
        told: JSONObject = {
            "schema": wanted,
            "title": _text(stated.get("title")) or humanise(name),
            "help": _text(stated.get("description")) or _text(wanted.get("description")),
            "required": required,
            "nullable": nullable,
            "default": stated.get("default", wanted.get("default", UNSET)),
            "examples": tuple(items_of(stated.get("examples") or wanted.get("examples"))),
            "read_only": stated.get("readOnly") is True,
            "is_secret": _is_marked(stated) or self._is_secret(wanted),
        }
        return self._kind(wanted, told)

    def _is_secret(self, schema: object, depth: int = 2) -> bool:
        """Tell whether what a schema asks for by one field is secret, or a list's or dict's values.

        Of an object each field is asked by itself.
        """
        found = resolve(self.root, schema)
        if _is_marked(found) or depth == 0 or "properties" in found:
            return _is_marked(found)
        kinds = [*_alternatives(found)[1], *items_of(found.get("prefixItems"))]
        inner = [*kinds, found.get("items"), found.get("additionalProperties")]
        return any(self._is_secret(fields_of(each), depth - 1) for each in inner)

    def _without_null(self, schema: Schema) -> tuple[Schema, bool]:
        """Return what a schema asks for but null, and whether null will do too."""
        word, kinds = _alternatives(schema)
        rest = [each for each in kinds if not _is_null(resolve(self.root, each))]
        if kinds and len(rest) < len(kinds):
            outside = {name: each for name, each in schema.items() if name != word}
            if not rest:
                return {**outside, "type": "null"}, False
            if len(rest) > 1:
                return {**outside, word: rest}, True
            return resolve(self.root, {"allOf": rest, **outside}), True
        for word in ("type", "enum"):
            values = items_of(schema.get(word))
            null = "null" if word == "type" else None
            rest = [each for each in values if each != null]
            if rest and len(rest) < len(values):
                only = rest[0] if word == "type" and len(rest) == 1 else rest
                return {**schema, word: only}, True
        return schema, False

    def _kind(self, schema: Schema, told: JSONObject) -> Part:
        if OWN in schema:
            return Text(format="password" if told["is_secret"] else "", **told)
        if "const" in schema:
            # Where there may be nothing instead, there is something to choose.
            constant = schema["const"]
            if told["nullable"]:
                return Choice(options=_options([constant]), **told)
            return Nothing(**told) if constant is None else Constant(value=constant, **told)
        if values := items_of(schema.get("enum")):
            return Nothing(**told) if values == [None] else Choice(options=_options(values), **told)
        if kinds := _alternatives(schema)[1]:
            return self._one_of(kinds, told)
        kind = schema.get("type")
        if kind is None and fields_of(schema.get("properties")):
            kind = "object"
        return _BY_TYPE.get(kind if isinstance(kind, str) else "", _json)(schema, told)

    def _one_of(self, kinds: list[JSONValue], told: JSONObject) -> Part:
        found = [resolve(self.root, each) for each in kinds]
        if self._is_decimal(told["schema"], found, told["default"]):
            return Number(is_decimal=True, limits=limits_of(found[0]), **told)
        if all("const" in each for each in found):
            labels = [_text(each.get("title")) for each in found]
            return Choice(options=_options([each["const"] for each in found], labels), **told)
        by = _discriminator(told["schema"], found) or _shared_constant(found)
        branches = [
            Branch(label=self._label(stated, each, by), schema=fields_of(stated))
            for stated, each in zip(kinds, found, strict=True)
        ]
        return Union(branches=tuple(branches), **told)

    def _is_decimal(self, schema: Schema, kinds: list[Schema], default: object) -> bool:
        if MARK in self.root:
            return is_decimal(schema)
        return _looks_decimal(kinds, default)

    def _label(self, stated: object, found: Schema, by: str | None) -> str:
        constant = fields_of(fields_of(found.get("properties")).get(by or "")).get("const")
        reference = _text(fields_of(stated).get("$ref"))
        target = target_of(self.root, fields_of(stated)) or {}
        named = _text(found.get("title")) or in_words(_text(target.get("title")))
        is_of_class = in_words(reference.rpartition("/")[2]) == in_words(named)
        if constant is not None and (is_of_class or not named):
            return humanise(str(constant))
        return named or humanise(noun(found))


def closest_schema(part: Part, value: object) -> Schema:
    """Return the schema that says most of what is wrong with a value of a part."""
    is_bare = isinstance(part, Number) and part.is_decimal and KEYWORD not in part.schema
    if is_bare and isinstance(value, (int, float)):
        return {"type": "number", **part.limits}  # a text fits anything
    return part.schema


def _is_marked(schema: Schema) -> bool:
    return schema.get("format") == "password" or schema.get("writeOnly") is True


def _object(schema: Schema, told: JSONObject) -> Part:
    more = schema.get("additionalProperties")
    properties = schema.get("properties")
    if fields_of(properties) or more is False or (isinstance(properties, dict) and more is None):
        names = frozenset(map(str, items_of(schema.get("required"))))
        return Object(properties=fields_of(properties), required_names=names, **told)
    return Map(values=fields_of(more), limits=limits_of(schema), **told)


def _array(schema: Schema, told: JSONObject) -> Part:
    first = items_of(schema.get("prefixItems"))
    if first and schema.get("items"):
        return _json(schema, told)  # places, and then any number of others
    if first:
        return Tuple(items=tuple(first), limits=limits_of(schema), **told)
    return List(items=fields_of(schema.get("items")), limits=limits_of(schema), **told)


def _string(schema: Schema, told: JSONObject) -> Part:
    wanted = "password" if told["is_secret"] else _text(schema.get("format"))
    return Text(format=wanted, limits=limits_of(schema), **told)


def _number(schema: Schema, told: JSONObject) -> Part:
    is_whole = schema["type"] == "integer"
    return Number(is_whole=is_whole, limits=limits_of(schema), **told)


def _json(_: Schema, told: JSONObject) -> Part:
    # A null that is offered is meant to be taken.
    told["nullable"] = told["nullable"] or told["default"] is None
    return Json(**told)


_BY_TYPE: dict[str, Callable[[Schema, JSONObject], Part]] = {
    "array": _array,
    "boolean": lambda _, told: Boolean(**told),
    "integer": _number,
    "null": lambda _, told: Nothing(**told),
    "number": _number,
    "object": _object,
    "string": _string,
}


def _options(values: list[JSONValue], labels: list[str] | None = None) -> tuple[Option, ...]:
    return tuple(
        Option(value=value, label=named or label(value), text=json_text(value))
        for value, named in zip(values, labels or [""] * len(values), strict=True)
    )


def _alternatives(schema: Schema) -> tuple[str, list[JSONValue]]:
    word = "anyOf" if items_of(schema.get("anyOf")) else "oneOf"
    return word, [each for each in items_of(schema.get(word)) if isinstance(each, dict)]


def _is_null(schema: Schema) -> bool:
    return schema.get("type") == "null" or schema.get("const", 0) is None


def _looks_decimal(kinds: list[Schema], default: object) -> bool:
    # In a form of others `float | str` looks the same, but for a default that is no number.
    if [each.get("type") for each in kinds] != ["number", "string"]:
        return False
    if kinds[1].keys() - {"type", "pattern"}:
        return False
    return not isinstance(default, str) or _is_numeric(default)


def _is_numeric(text: str) -> bool:
    try:
        read_value(Number(schema={}), text)
    except Mistyped:
        return False
    return True


def _discriminator(schema: Schema, kinds: list[Schema]) -> str | None:
    name = fields_of(schema.get("discriminator")).get("propertyName")
    return name if isinstance(name, str) and all(_fixes(each, name) for each in kinds) else None


def _shared_constant(kinds: list[Schema]) -> str | None:
    names = fields_of(kinds[0].get("properties")) if kinds else ()
    return next((name for name in names if all(_fixes(each, name) for each in kinds)), None)


def _fixes(schema: Schema, name: str) -> bool:
    return "const" in fields_of(fields_of(schema.get("properties")).get(name))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
