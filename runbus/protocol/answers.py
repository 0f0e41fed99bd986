"""Answers: checked against the JSON Schema of what was asked."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonschema_rs import Draft202012Validator, ValidationError

LONGEST_PROBLEM = 200
MOST_PROBLEMS = 20
_MOST_KEPT = 64
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
        _validator(schema)
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
    try:
        return {} if _validator(schema).is_valid(answer) else _problems(schema, answer)
    except UnicodeEncodeError:
        return {"": "it has half a character, which cannot be stored"}


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
    found = False
    for part in _parts(schema, answer):
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
        _validator(schema).validate(answer)
    except ValidationError as error:
        return error
    return None


def _validator(schema: Any) -> Draft202012Validator:
    # Made once for a form: that takes longer than all else that an answer costs here.
    return _kept_validator(to_json(schema).decode())


@lru_cache(maxsize=_MOST_KEPT)
def _kept_validator(schema: str) -> Draft202012Validator:
    from jsonschema_rs import Draft202012Validator  # late: only who asks or answers needs it

    return Draft202012Validator(schema, retriever=_refuse)


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
