"""Answers: with the defaults of what was asked, and checked against its JSON Schema."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from pydantic_core import to_json

from runbus.forms import catalogue
from runbus.forms.defaults import with_defaults, without_defaults
from runbus.forms.exact_json import read_exact
from runbus.forms.normal_form import normal_form
from runbus.forms.references import fields_of
from runbus.forms.refusal import refusals
from runbus.forms.secrets import veiled_text
from runbus.forms.validator import validator
from runbus.forms.values import Mistyped
from runbus.protocol.problems import Problem, by_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonschema_rs import ValidationError

    from runbus.forms.parts import Schema
    from runbus.protocol.json_value import JSONValue

LONGEST_ERROR = 200
MOST_ERRORS = 20
MOST_PARTS_BYTES = 4 * 1024 * 1024
"""How many bytes of JSON Schema are compiled to find all errors of an answer, not only one."""


def stored_with_defaults(schema: Schema | None, data: bytes) -> bytes:
    """Return the JSON of a stored answer with the form's defaults; by hand they may be left out."""
    if schema is None:
        return b""
    try:
        return to_json(read_answer(schema, data or b"{}"))
    except ValueError:
        return data


def validate_answer(schema: Schema | None, data: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the JSON of an answer with the form's defaults, and what is wrong with it by field."""
    try:
        answer = read_answer(schema, data or b"{}")
    except Mistyped as error:
        return data, {"": str(error)}
    if schema is None:
        return b"", {}
    errors = errors_beyond_defaults(schema, answer)
    return data if errors else to_json(answer), errors


def read_answer(schema: JSONValue, data: str | bytes) -> JSONValue:
    """Read the JSON of an answer, in its normal form and with the form's defaults.

    Raises `Mistyped`.
    """
    return with_defaults(schema, normal_form(schema, read_exact(data)))


def in_one_line(errors: dict[str, str]) -> str:
    """Write what is wrong, each with its field."""
    return "; ".join(f"{name}: {error}" if name else error for name, error in errors.items())


def schema_error(schema: object) -> str:
    """Return why a form cannot be used: it is no JSON Schema. Empty for one that can."""
    try:
        validator(schema)
    except (ValueError, TypeError) as error:  # `jsonschema_rs.ValidationError` is a ValueError
        return str(getattr(error, "message", error))[:LONGEST_ERROR]
    return ""


def validation_errors(schema: object, answer: object) -> dict[str, str]:
    """Return what is wrong with an answer: field → error, `` for the answer as a whole."""
    return by_place(problems_of(schema, answer))


def problems_of(schema: object, answer: object) -> list[Problem]:
    """Return what is wrong with an answer.

    One error of each field at most, and no more than `MOST_ERRORS`: a large answer that is wrong
    everywhere costs no more than a small one.
    """
    if flaw := schema_error(schema):
        return [_of_the_whole(catalogue.UNUSABLE.format(flaw=flaw))]
    form = validator(schema)
    if form.is_too_long(answer):
        return [_of_the_whole(catalogue.TOO_LONG_FOR_PATTERNS)]
    try:
        return [] if form.compiled.is_valid(answer) else _by_field(schema, answer)
    except UnicodeEncodeError:
        return [_of_the_whole(catalogue.HALF_A_CHARACTER)]


def _of_the_whole(words: str) -> Problem:
    return Problem(loc=(), message=words)


def errors_beyond_defaults(schema: object, answer: object) -> dict[str, str]:
    """Return what is wrong with an answer, as far as it is not the form's defaults."""
    errors = validation_errors(schema, answer)
    return errors and validation_errors(schema, without_defaults(schema, answer))


def _by_field(schema: object, answer: object) -> list[Problem]:
    found: dict[str, Problem] = {}
    for part, error in _errors(schema, answer):
        for each in refusals(part, error):
            if len(found) == MOST_ERRORS:
                return [*found.values(), _of_the_whole(catalogue.MORE)]
            veiled = replace(each, message=veiled_text(each.message, schema, answer))
            found.setdefault(each.place, veiled)
    return list(found.values())


def _errors(schema: object, answer: object) -> Iterator[tuple[object, ValidationError]]:
    # The validator's own list of all errors is made before the first can be read, and may be
    # longer than the answer. So each field is asked for its first.
    found, left = False, MOST_PARTS_BYTES
    for part in _parts(schema, answer):
        left -= len(to_json(part))
        if left < 0:  # each part is compiled with all definitions
            break
        error = validator(part).first_error(answer)
        if error is not None:
            found = True
            yield part, error
    if not found:
        error = validator(schema).first_error(answer)
        if error is not None:
            yield schema, error


def _parts(schema: object, answer: object) -> Iterator[Schema]:
    """Yield a schema for each thing that may be wrong by itself: a missing field, a field."""
    if not isinstance(schema, dict) or not isinstance(answer, dict):
        return
    parts = cast("Schema", schema)
    shared = {name: parts[name] for name in ("$schema", "$defs", "definitions") if name in parts}
    for name in parts.get("required", ()):
        yield {**shared, "required": [name]}
    properties = fields_of(parts.get("properties"))
    for name, field in properties.items():
        if name in answer:
            yield {**shared, "properties": {name: field}}
    if parts.get("additionalProperties") is False and "patternProperties" not in parts:
        yield {"properties": dict.fromkeys(properties, True), "additionalProperties": False}
