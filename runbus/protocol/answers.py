"""Answers: checked against the JSON Schema of what was asked.

Neither the schema nor the answer is trusted to be checked fast. Patterns run on an engine whose
time is linear; those that it has no room for, or that look ahead or back, run on answers so short
that no pattern runs away.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pydantic_core import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonschema_rs import Draft202012Validator, ValidationError

LONGEST_PROBLEM = 200
MOST_PROBLEMS = 20
MOST_PARTS_BYTES = 4 * 1024 * 1024
"""How many bytes of JSON Schema are compiled to find all problems of an answer, not only one."""
MOST_MATCHING = 100_000_000
"""The squares of the lengths of an answer's texts, together and for each pattern, where patterns
may take quadratic time: some tenths of a second."""
_MOST_KEPT = 64
_SMALL_PATTERN_BYTES = 200_000
_MOST_BACKTRACKING = 10_000
_TEXTS_ONLY = {"default", "title", "description", "examples"}


def shape_of(schema: Any) -> Any:
    """Return a schema without texts and defaults, which may differ when a flow runs again."""
    if isinstance(schema, dict):
        parts = cast("dict[str, Any]", schema)
        # The names of properties are not keywords: a field may be called `title`.
        return {
            name: {field: shape_of(part) for field, part in cast("dict[str, Any]", each).items()}
            if name in {"properties", "$defs"} and isinstance(each, dict)
            else shape_of(each)
            for name, each in parts.items()
            if name not in _TEXTS_ONLY
        }
    if isinstance(schema, list):
        return [shape_of(each) for each in cast("list[Any]", schema)]
    return schema


def with_defaults(schema: Any, answer: Any) -> Any:
    """Return an answer with the form's defaults for the fields that it leaves out."""
    if not isinstance(answer, dict):
        return answer
    defaults = {
        name: field["default"]
        for name, field in _fields(schema).items()
        if isinstance(field, dict) and "default" in field
    }
    return {**defaults, **cast("dict[str, Any]", answer)}


def flaw_of(schema: Any) -> str:
    """Return why a form cannot be used: it is no JSON Schema. Empty for one that can."""
    try:
        _checker(schema)
    except (ValueError, TypeError) as error:  # `jsonschema_rs.ValidationError` is a ValueError
        return str(getattr(error, "message", error))[:LONGEST_PROBLEM]
    return ""


def problems_of(schema: Any, answer: Any) -> dict[str, str]:
    """Return what is wrong with an answer: field → problem, `` for the answer as a whole.

    One problem of each field at most, and no more than `MOST_PROBLEMS`: a large answer that is
    wrong everywhere costs no more than a small one.
    """
    if flaw := flaw_of(schema):
        return {"": f"the form itself cannot be used: {flaw}"}
    checker = _checker(schema)
    if checker.patterns and _matching(answer) * checker.patterns > MOST_MATCHING:
        return {"": "it is too long to be matched with the patterns of this form"}
    try:
        return {} if checker.validator.is_valid(answer) else _problems(schema, answer)
    except UnicodeEncodeError:
        return {"": "it has half a character, which cannot be stored"}


def _matching(answer: Any) -> int:
    # Not by recursion: an answer may be deeper than the stack.
    total, left = 0, [answer]
    while left:
        part = left.pop()
        if isinstance(part, str):
            total += len(part) ** 2
        elif isinstance(part, dict):
            left.extend(cast("dict[str, Any]", part).keys())
            left.extend(cast("dict[str, Any]", part).values())
        elif isinstance(part, list):
            left.extend(cast("list[Any]", part))
    return total


def _problems(schema: Any, answer: Any) -> dict[str, str]:
    problems: dict[str, str] = {}
    for error in _errors(schema, answer):
        if len(problems) == MOST_PROBLEMS:
            problems[""] = "there are more problems"
            break
        problems.setdefault(_place(error), _words(error))
    return problems


def _errors(schema: Any, answer: Any) -> Iterator[ValidationError]:
    # The validator's own list of all errors is made before the first can be read, and may be
    # longer than the answer. Its first error is found at once: so each field is asked for that.
    found, left = False, MOST_PARTS_BYTES
    for part in _parts(schema, answer):
        left -= len(to_json(part))
        if left < 0:  # each part is compiled with all definitions
            break
        error = _first_error(part, answer)
        if error is not None:
            found = True
            yield error
    if not found:
        error = _first_error(schema, answer)
        if error is not None:
            yield error


def _parts(schema: Any, answer: Any) -> Iterator[dict[str, Any]]:
    """Yield a schema for each thing that may be wrong by itself: a missing field, a field."""
    if not isinstance(schema, dict) or not isinstance(answer, dict):
        return
    parts = cast("dict[str, Any]", schema)
    shared = {name: parts[name] for name in ("$schema", "$defs", "definitions") if name in parts}
    for name in parts.get("required", ()):
        yield {**shared, "required": [name]}
    for name, field in _fields(parts).items():
        if name in answer:
            yield {**shared, "properties": {name: field}}


def _first_error(schema: Any, answer: Any) -> ValidationError | None:
    from jsonschema_rs import ValidationError

    try:
        _checker(schema).validator.validate(answer)
    except ValidationError as error:
        return error
    return None


class _Checker(NamedTuple):
    """A compiled schema."""

    validator: Draft202012Validator
    patterns: int
    """How many patterns may take quadratic time."""


def _checker(schema: Any) -> _Checker:
    # Made once for a form: that takes longer than all else that an answer costs here.
    return _kept_checker(to_json(schema).decode())


@lru_cache(maxsize=_MOST_KEPT)
def _kept_checker(schema: str) -> _Checker:
    # Late: only who asks or answers needs it.
    from jsonschema_rs import Draft202012Validator, FancyRegexOptions, RegexOptions, ValidationError

    make = partial(Draft202012Validator, schema, retriever=_refuse)
    patterns = schema.count('"pattern')  # `patternProperties` too
    with suppress(ValidationError):
        return _Checker(make(pattern_options=RegexOptions(size_limit=_SMALL_PATTERN_BYTES)), 0)
    with suppress(ValidationError):
        return _Checker(make(pattern_options=RegexOptions()), patterns)
    options = FancyRegexOptions(backtrack_limit=_MOST_BACKTRACKING)
    return _Checker(make(pattern_options=options), patterns)


def _fields(schema: Any) -> dict[str, dict[str, Any] | bool]:
    if not isinstance(schema, dict):  # `true` is a schema too
        return {}
    fields = cast("dict[str, Any]", schema).get("properties")
    if not isinstance(fields, dict):  # somebody else may have stored it
        return {}
    return cast("dict[str, dict[str, Any] | bool]", fields)


def _refuse(uri: str) -> Any:
    # A schema that somebody stored must not make this process fetch what it names.
    raise ValueError(f"{uri} is outside of the schema")


def _place(error: ValidationError) -> str:
    path = [str(part) for part in error.instance_path]
    return ".".join([*path, _missing(error)] if _is_missing(error) else path)


def _words(error: ValidationError) -> str:
    return "it is required" if _is_missing(error) else error.message[:LONGEST_PROBLEM]


def _is_missing(error: ValidationError) -> bool:
    return type(error.kind).__name__ == "Required"


def _missing(error: ValidationError) -> str:
    return str(cast("Any", error.kind).property)
