"""A question: the type that a pause asks for, as a form to store and a reader of answers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from runbus.background.caller import in_caller
from runbus.errors import InvalidArgument
from runbus.input.form import keyset_of
from runbus.input.run_input import (
    AutomaticRunInput,
    RunInput,
    answer_of,
    form_of,
    run_input_subclass_from_type,
)
from runbus.protocol.answers import flaw_of, problems_of, shape_of, with_defaults
from runbus.protocol.printed import one_line
from runbus.store.records.pauses import Form as StoredForm

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID


LONGEST_TITLE = 80


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a pause asks for."""

    model: type[RunInput] | None = None
    """None when no answer is wanted."""
    name: str = ""
    """Of the type that the flow asked for."""
    unwrap: Callable[[Any], Any] = lambda answer: answer
    """Take what the flow asked for out of the model."""

    async def form(self, key: str, run_id: UUID) -> StoredForm:
        """Return what the pause of this key stores. Raises `UsageError` for an unusable schema."""
        if self.model is None:
            return StoredForm()
        asked = await in_caller(partial(form_of, self.model, keyset_of(key), run_id))
        if flaw := flaw_of(asked.schema):
            reason = f"its JSON Schema cannot be used: {flaw}"
            raise InvalidArgument("wait_for_input", self.model, reason)
        shape = hashlib.sha256(to_json(shape_of(asked.schema))).hexdigest()[:32]
        return StoredForm(schema=to_json(asked.schema), shape=shape, description=asked.description)

    def title(self, form: StoredForm) -> str:
        """Return in a few words what is asked for: how its description begins, or its type."""
        lines = (_plain(line) for line in form.description.splitlines())
        if title := next(filter(None, lines), ""):
            return f'"{title[:LONGEST_TITLE]}"'
        return "a go-ahead" if self.model is None else self.name

    async def answer(self, key: str, run_id: UUID) -> Any:
        """Read the answer to the pause of this key. Raises pydantic's `ValidationError`."""
        if self.model is None:
            return None
        return self.unwrap(await in_caller(partial(answer_of, self.model, keyset_of(key), run_id)))


def _plain(markdown: str) -> str:
    return "".join(each for each in one_line(markdown.strip("# ")) if each not in "*`")


def question_about(input_type: Any) -> Question:
    """Make the question for a model, a built-in type, or None: no answer but going on.

    Raises `UsageError` for what is no type.
    """
    if input_type is None:
        return Question()
    if isinstance(input_type, (str, bytes, int, float, BaseModel)):
        raise InvalidArgument("wait_for_input", input_type, "it is a value: pass a type")
    name: str = getattr(input_type, "__name__", "") or str(input_type)
    if isinstance(input_type, type) and issubclass(input_type, BaseModel):
        return Question(model=run_input_subclass_from_type(input_type), name=name)
    return Question(
        model=AutomaticRunInput[input_type],
        name=name,
        unwrap=lambda answer: answer.value,
    )


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


def judge_in_words(form: StoredForm) -> Callable[[bytes], str]:
    """Return a judge whose verdict is one text, empty for a good answer."""
    return partial(_in_words, from_json(form.schema) if form.schema else None)


def _in_words(schema: dict[str, Any] | None, data: bytes) -> str:
    _, problems = judge(schema, data)
    return "; ".join(f"{name}: {problem}" for name, problem in problems.items())
