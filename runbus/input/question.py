"""A question: the type that a pause asks for, as a form to store and a reader of answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pydantic import BaseModel, RootModel, ValidationError
from pydantic_core import from_json, to_json

from runbus.background.caller import in_caller
from runbus.errors import InvalidArgument
from runbus.forms.answers import in_one_line, schema_error, validate_answer
from runbus.forms.fingerprint import fingerprint
from runbus.forms.gone_fields import without_gone_defaults
from runbus.forms.title import first_line, title
from runbus.input.run_input import (
    AutomaticRunInput,
    RunInput,
    answer_of,
    form_of,
    inherits,
    run_input_subclass_from_type,
)
from runbus.protocol.entries import storable
from runbus.store.records.pause_opening import Form as StoredForm
from runbus.store.records.pause_opening import Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from runbus.protocol.records import Pause


MANY_FORMS = 128
"""Of so many it is kept what they are called and how they check: many runs ask the same."""
_forms: WeakKeyDictionary[type[RunInput], StoredForm] = WeakKeyDictionary()
"""The forms of models without a `save` of their own: a schema takes longer than a question."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a pause asks for."""

    model: type[RunInput] | None = None
    """None when no answer is wanted."""
    unwraps: bool = False
    """Whether the flow asked for the model's `value` rather than for the model."""

    async def form(self, key: str, run_id: UUID) -> StoredForm:
        """Return what the pause of this key stores. Raises `UsageError` for an unusable schema."""
        if self.model is None:
            return StoredForm()
        if (known := _forms.get(self.model)) is not None:
            return known
        asked = await in_caller(partial(form_of, self.model, key, run_id))
        if error := schema_error(asked.schema):
            reason = f"its JSON Schema cannot be used: {error}"
            raise InvalidArgument("wait_for_input", self.model, reason)
        form = StoredForm(
            schema=to_json(asked.schema),
            shape=fingerprint(asked.schema),
            description=storable(asked.description),
        )
        if inherits(self.model, "save"):
            _forms[self.model] = form
        return form

    async def answer(self, run_id: UUID, pause: Pause, form: StoredForm) -> object:
        """Read the answer to a pause, whose form may be older than that of the question.

        Raises pydantic's `ValidationError`.
        """
        if self.model is None:
            return None
        try:
            return await self._read(self.model, run_id, pause)
        except ValidationError:
            given = _without_gone_defaults(pause, form)
            if given is pause:
                raise
        return await self._read(self.model, run_id, given)

    async def _read(self, model: type[RunInput], run_id: UUID, pause: Pause) -> object:
        answer: Any = await in_caller(partial(answer_of, model, run_id, pause))
        return answer.value if self.unwraps else answer


def _without_gone_defaults(pause: Pause, form: StoredForm) -> Pause:
    """Return an answered pause without the values that nobody gave, and nobody asks for now."""
    if is_same_form(pause, form) or not pause.value or not form.schema:
        return pause
    try:
        answer = from_json(pause.value)
    except ValueError:
        return pause
    given = without_gone_defaults(pause.schema, from_json(form.schema), answer)
    return pause if given == answer else replace(pause, value=to_json(given))


def refused(error: ValidationError, pause: Pause, form: StoredForm) -> Refused:
    """Return why the answer to a pause is not taken: for those who are asked again.

    Where the caller's code is: it words its own errors.
    """
    from runbus.forms.model_errors import refusal_of  # late: few answers are refused

    now = from_json(form.schema) if form.schema else None
    given = _without_gone_defaults(pause, form).value or b""
    why = refusal_of(error, given, pause.schema, now)
    return Refused(generation=pause.generation, problems=why.problems, veiled=why.veiled)


def is_same_form(pause: Pause, form: StoredForm) -> bool:
    """Tell whether a pause was asked with a form, but for texts and defaults."""
    return fingerprint(pause.schema) == form.shape


@lru_cache(maxsize=MANY_FORMS)
def title_of_form(form: StoredForm) -> str:
    """Return in a few words what is asked for; the words of a description in quotes."""
    if described := first_line(form.description):
        return f'"{described}"'
    return title(from_json(form.schema) if form.schema else None)


def question_about(input_type: object) -> Question:
    """Make the question for a model, a built-in type, or None: no answer but going on.

    Raises `UsageError` for what is no type.
    """
    if input_type is None:
        return Question()
    if isinstance(input_type, (str, bytes, int, float, BaseModel)):
        raise InvalidArgument("wait_for_input", input_type, "it is a value: pass a type")
    # A root model has no fields: it is the value of one.
    if isinstance(input_type, type) and _has_fields(input_type):
        return Question(model=run_input_subclass_from_type(input_type))
    return Question(model=AutomaticRunInput[input_type], unwraps=True)


def _has_fields(cls: type[Any]) -> bool:
    return issubclass(cls, BaseModel) and not (
        issubclass(cls, RootModel) and not issubclass(cls, RunInput)
    )


@lru_cache(maxsize=MANY_FORMS)
def answer_check(form: StoredForm) -> Callable[[bytes], str]:
    """Return a check that says in one line what is wrong with an answer; empty for a good one."""
    return partial(_problem_of_answer, form)


def _problem_of_answer(form: StoredForm, data: bytes) -> str:
    schema = from_json(form.schema) if form.schema else None
    return in_one_line(validate_answer(schema, data)[1])
