"""Answers: checked against the JSON Schema of what was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonschema_rs import ValidationError

LONGEST_PROBLEM = 200
_TEXTS_ONLY = {"default", "title", "description", "examples"}


def shape_of(schema: Any) -> Any:
    """Return a schema without texts and defaults, which may differ when a flow runs again."""
    if isinstance(schema, dict):
        parts = cast("dict[str, Any]", schema)
        # The names of properties are not keywords: a field may be called `title`.
        return {
            name: {field: shape_of(part) for field, part in each.items()}
            if name in {"properties", "$defs"}
            else shape_of(each)
            for name, each in parts.items()
            if name not in _TEXTS_ONLY
        }
    if isinstance(schema, list):
        return [shape_of(each) for each in cast("list[Any]", schema)]
    return schema


def with_defaults(schema: Mapping[str, Any], answer: Any) -> Any:
    """Return an answer with the form's defaults for the fields that it leaves out."""
    if not isinstance(answer, dict):
        return answer
    fields: Mapping[str, Any] = schema.get("properties", {})
    defaults = {name: field["default"] for name, field in fields.items() if "default" in field}
    return {**defaults, **cast("dict[str, Any]", answer)}


def problems_of(schema: Mapping[str, Any], answer: Any) -> dict[str, str]:
    """Return what is wrong with an answer: field → problem, `` for the answer as a whole."""
    from jsonschema_rs import Draft202012Validator  # late: only who answers needs it

    validator = Draft202012Validator(dict(schema), retriever=_refuse)
    return {_place(error): _words(error) for error in validator.iter_errors(answer)}


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
