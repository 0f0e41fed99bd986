"""A model's errors: what the flow's own type says of an answer, for those who are asked again.

The form has judged an answer at the door. What it cannot say are a model's own validators, whose
words are kept as they are; and the form may be another one since. Nothing of a secret is kept, and
no more than somebody reads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from pydantic_core import to_json

from runbus.forms import catalogue
from runbus.forms.answers import MOST_ERRORS, problems_of, with_defaults
from runbus.forms.member_errors import MeantMembers, is_own
from runbus.forms.references import items_of
from runbus.forms.secrets import hidden_names, veiled_text
from runbus.protocol.problems import Problem, write_problems
from runbus.protocol.values import read_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic_core import ErrorDetails, ValidationError

    from runbus.forms.parts import Schema
    from runbus.protocol.json_value import JSONObject, JSONValue

LONGEST_MESSAGE = 500
"""Characters."""
MOST_BYTES = 8 * 1024
"""How large the problems of one answer are together, as JSON."""
_PREFIXES = ("Value error, ", "Assertion failed, ")
"""What pydantic writes before the words of a validator."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why an answer is not taken, as its pause keeps it."""

    problems: bytes
    """What is wrong with it, as JSON."""
    veiled: bytes
    """The names of its secrets, as JSON."""


def refusal_of(
    error: ValidationError, data: bytes, asked: Schema | None, now: Schema | None
) -> Refusal:
    """Return why the answer `data` is not taken.

    `asked` is the form that it was given to, `now` the one that the flow has by now.
    """
    answer = read_json(data)
    # No more than are kept, and one that says that there are more: each is looked at for secrets.
    found = _by_form_and_model(error, answer, now)[: MOST_ERRORS + 1]
    for schema in (asked, now):
        found = [replace(each, message=veiled_text(each.message, schema, answer)) for each in found]
    names = hidden_names(asked) | hidden_names(now)
    return Refusal(problems=write_problems(_bounded(found)), veiled=to_json(sorted(names)))


def _by_form_and_model(
    error: ValidationError, answer: JSONValue, schema: Schema | None
) -> list[Problem]:
    """Return what is wrong by the form, in its sentences, and elsewhere by the model."""
    found = problems_of(schema, with_defaults(schema, answer)) if schema else []
    said = {each.loc for each in found}
    told = _by_model(error, answer, schema or {})
    return [*found, *(each for each in told if each.loc not in said)]


def _by_model(error: ValidationError, answer: JSONValue, schema: Schema) -> list[Problem]:
    """Return what a model says of an answer, at the places of the answer."""
    # With their addresses: those are how its own errors are known.
    found = error.errors(include_url=True, include_input=False)
    details = MeantMembers(schema).errors(found, answer)
    return [Problem(loc=_place(each, answer), message=_words(each)) for each in details]


def _place(details: ErrorDetails, answer: JSONValue) -> tuple[str | int, ...]:
    # Pydantic's steps are those of its types: some say which of several kinds it has tried.
    place: list[str | int] = []
    for step in details["loc"]:
        if isinstance(answer, dict) and str(step) in answer:
            place.append(str(step))
            answer = cast("JSONObject", answer)[str(step)]
        elif isinstance(step, int) and step < len(items := items_of(answer)):
            place.append(step)
            answer = items[step]
        elif details["type"] == "missing" and step == details["loc"][-1]:
            place.append(step)
    return tuple(place)


def _words(details: ErrorDetails) -> str:
    words = details["msg"] if is_own(details) else catalogue.model_words(details)
    for prefix in _PREFIXES:
        words = words.removeprefix(prefix)
    return words.strip() or catalogue.NOT_FITTING.replace(catalogue.IS, "")


def _bounded(problems: Iterable[Problem]) -> Iterator[Problem]:
    left = MOST_BYTES
    for number, each in enumerate(map(_short, problems)):
        left -= len(write_problems([each]))
        if number == MOST_ERRORS or left < 0:
            yield Problem(loc=(), message=catalogue.MORE)
            return
        yield each


def _short(problem: Problem) -> Problem:
    words = problem.message
    cut = words if len(words) <= LONGEST_MESSAGE else f"{words[: LONGEST_MESSAGE - 1]}…"
    return replace(problem, message=cut)
