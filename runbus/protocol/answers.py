"""Answers: checked against the JSON Schema of what was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
    # Late, because it takes as long to import as all of runbus.
    from jsonschema import Draft202012Validator

    errors: Iterable[Any] = cast("Any", Draft202012Validator(schema)).iter_errors(answer)
    return {_place(error): _words(error) for error in errors}


def _place(error: Any) -> str:
    path = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        return f"{path}.{missing}" if path else missing
    return path


def _words(error: Any) -> str:
    if error.validator == "required":
        return "it is required"
    if error.validator == "anyOf":
        return "it fits none of the types that are possible here"
    return str(error.message)[:200]
