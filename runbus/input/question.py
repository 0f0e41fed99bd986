"""A question: the type that a pause asks for, as a form to store and a reader of answers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from runbus.errors import InvalidArgument
from runbus.input.run_input import AutomaticRunInput, RunInput, run_input_subclass_from_type
from runbus.protocol.answers import flaw_of, problems_of, shape_of, with_defaults
from runbus.protocol.values import json_schema
from runbus.store.pauses import Form

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a pause asks for."""

    form: Form
    schema: dict[str, Any] | None
    decode: Callable[[bytes], Any]
    """Read an accepted answer. Raises pydantic's `ValidationError`."""


def question_about(input_type: Any) -> Question:
    """Make the question for a model, a built-in type, or None: no answer but going on.

    Raises `UsageError` for what is no type.
    """
    if input_type is None:
        return Question(form=Form(), schema=None, decode=lambda _: None)
    if isinstance(input_type, (str, bytes, int, float, BaseModel)):
        raise InvalidArgument("wait_for_input", input_type, "it is a value: pass a type")
    if isinstance(input_type, type) and issubclass(input_type, BaseModel):
        return _question(run_input_subclass_from_type(input_type), lambda answer: answer)
    return _question(AutomaticRunInput[input_type], lambda answer: answer.value)


def _question(model: type[RunInput], unwrap: Callable[[Any], Any]) -> Question:
    schema = json_schema(model)
    if flaw := flaw_of(schema):
        raise InvalidArgument("wait_for_input", model, f"its JSON Schema cannot be used: {flaw}")
    shape = hashlib.sha256(to_json(shape_of(schema))).hexdigest()[:32]
    form = Form(schema=to_json(schema), shape=shape, description=model.description_of_form() or "")
    return Question(form=form, schema=schema, decode=lambda data: unwrap(model.decode(data)))


def judge(schema: dict[str, Any] | None, data: bytes) -> tuple[bytes, dict[str, str]]:
    """Return an answer with the form's defaults, and what is wrong with it by field."""
    try:
        answer: Any = from_json(data or b"{}")
    except ValueError as error:
        return data, {"": f"it is not JSON: {error}"}
    if schema is None:
        return b"", {}
    answer = with_defaults(schema, answer)
    return to_json(answer), problems_of(schema, answer)


def judge_in_words(schema: dict[str, Any] | None) -> Callable[[bytes], tuple[bytes, str]]:
    """Return a judge whose verdict is one text, empty for a good answer."""
    return partial(_in_words, schema)


def _in_words(schema: dict[str, Any] | None, data: bytes) -> tuple[bytes, str]:
    answer, problems = judge(schema, data)
    return answer, "; ".join(f"{name}: {problem}" for name, problem in problems.items())
