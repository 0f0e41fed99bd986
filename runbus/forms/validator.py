"""Validators: schemas compiled, so that neither a schema nor an answer takes long to be checked.

Patterns run on an engine whose time is linear; those that it has no room for, or that look ahead or
back, run on answers so short that no pattern runs away.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple, NoReturn, cast

from pydantic_core import from_json, to_json

from runbus.forms.catalogue import CONTENT, IS, JSON_TEXT, MUST_BE
from runbus.forms.core_types import OWN, is_float
from runbus.forms.formats import formats
from runbus.forms.keywords import KEYWORDS
from runbus.forms.references import fields_of, items_of
from runbus.forms.tags import discriminator
from runbus.forms.unicode_patterns import has_inner_classes, in_all_scripts

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator, ValidationError

    from runbus.forms.parts import Schema
    from runbus.protocol.json_value import JSONObject, JSONValue

MOST_MATCHING = 100_000_000
"""The squares of the lengths of an answer's texts, together and for each pattern, where patterns
may take quadratic time: some tenths of a second."""
_MOST_KEPT = 64
_SMALL_PATTERN_BYTES = 200_000
_MOST_BACKTRACKING = 10_000


class Validator(NamedTuple):
    """A compiled schema."""

    compiled: Draft202012Validator
    patterns: int
    """How many patterns may take quadratic time."""

    def is_too_long(self, answer: object) -> bool:
        """Tell whether an answer is too long to be matched with these patterns."""
        return bool(self.patterns) and _matching(answer) * self.patterns > MOST_MATCHING

    def is_valid(self, answer: object) -> bool:
        """Tell whether an answer fits; one with half a character does not."""
        try:
            return self.compiled.is_valid(answer)
        except UnicodeEncodeError:
            return False

    def first_error(self, answer: object) -> ValidationError | None:
        """Return the first thing that is wrong with an answer; it is found at once."""
        from jsonschema_rs import ValidationError

        try:
            self.compiled.validate(answer)
        except ValidationError as error:
            return error
        return None


def validator(schema: object) -> Validator:
    """Compile a schema. Raises `ValueError` and `TypeError` for what is none."""
    # Made once for a form: that takes longer than all else that an answer costs here.
    return _kept(to_json(schema).decode())


def fits(schema: object, answer: object) -> bool:
    """Tell whether an answer fits a schema, without saying why not; nothing fits what is none."""
    try:
        form = validator(schema)
    except (ValueError, TypeError):
        return False
    return not form.is_too_long(answer) and form.is_valid(answer)


@lru_cache(maxsize=_MOST_KEPT)
def _kept(schema: str) -> Validator:
    # Late: only who asks or answers needs it.
    from jsonschema_rs import Draft202012Validator, FancyRegexOptions, RegexOptions, ValidationError

    root = fields_of(from_json(schema))
    written = _as_checked(from_json(schema), {name: root[name] for name in _SHARED & root.keys()})
    make = partial(
        Draft202012Validator,
        written,
        retriever=_refuse,
        formats=formats(),
        validate_formats=True,
        keywords={**KEYWORDS, "contentSchema": JsonText},
    )
    patterns = schema.count('"pattern')  # `patternProperties` too
    with suppress(ValidationError):
        small = RegexOptions(size_limit=_SMALL_PATTERN_BYTES)
        return Validator(make(pattern_options=small), to_json(written).count(b'"x-pattern"'))
    with suppress(ValidationError):
        return Validator(make(pattern_options=RegexOptions()), patterns)
    options = FancyRegexOptions(backtrack_limit=_MOST_BACKTRACKING)
    return Validator(make(pattern_options=options), patterns)


class JsonText:
    """`contentSchema`: the type of the JSON that a text is."""

    def __init__(self, parent_schema: Schema, value: object, schema_path: object) -> None:
        self._schema = value

    def validate(self, instance: object) -> None:
        """Raise `ValueError` for a text that is no such JSON."""
        if not isinstance(instance, str):
            return
        try:
            value = from_json(instance)
        except ValueError:
            raise ValueError(MUST_BE.format(what=JSON_TEXT, is_=IS)) from None
        try:
            content = validator(self._schema)
        except (ValueError, TypeError):  # what leads elsewhere is left to the flow
            return
        if error := content.first_error(value):
            raise ValueError(CONTENT.format(why=error.message))


_NOT_SCHEMAS = {"const", "default", "enum", "examples"}
_SHARED = {"$defs", "definitions"}
_BY_NAME = {"properties", "$defs", "definitions", "dependentSchemas"}


def _as_checked(schema: object, shared: Schema) -> JSONValue:
    """Write out the patterns of a schema and require its tags, wherever they are.

    The schema of a text's JSON, which is compiled by itself, takes the `shared` definitions along.
    """
    if isinstance(schema, list):
        return [_as_checked(each, shared) for each in cast("list[JSONValue]", schema)]
    if not isinstance(schema, dict):
        return schema
    given = cast("Schema", schema)
    if OWN in given:
        return True
    engine = str(given.get("x-regex", "rust-regex"))
    written = {name: _keyword(name, each, engine, shared) for name, each in given.items()}
    if tag := discriminator(given):
        written["required"] = [*items_of(given.get("required")), tag]
    if is_float(given) and given.get("type") == "number":
        written["type"] = ["number", "string"]  # which of them, its core says
    pattern = given.get("pattern")
    if isinstance(pattern, str) and has_inner_classes(pattern):
        written["x-pattern"] = written.pop("pattern")
    return written


def _keyword(name: str, value: JSONValue, engine: str, shared: Schema) -> JSONValue:
    if name in _NOT_SCHEMAS or name.startswith("x-"):
        return value
    if name == "contentSchema":
        return {**fields_of(value), **shared} if isinstance(value, dict) else value
    if name == "pattern" and isinstance(value, str):
        return value if has_inner_classes(value) else in_all_scripts(value, engine)
    if name == "patternProperties":
        named = fields_of(value).items()
        return {in_all_scripts(each, engine): _as_checked(inner, shared) for each, inner in named}
    if name in _BY_NAME:
        return {each: _as_checked(inner, shared) for each, inner in fields_of(value).items()}
    return _as_checked(value, shared)


def _refuse(uri: str) -> NoReturn:
    # A schema that somebody stored must not make this process fetch what it names.
    raise ValueError(f"{uri} is outside of the schema")


def _matching(answer: object) -> int:
    # Not by recursion: an answer may be deeper than the stack.
    total, left = 0, [answer]
    while left:
        part = left.pop()
        if isinstance(part, str):
            total += len(part) ** 2
        elif isinstance(part, dict):
            left.extend(cast("JSONObject", part).keys())
            left.extend(cast("JSONObject", part).values())
        elif isinstance(part, list):
            left.extend(cast("list[JSONValue]", part))
    return total
