"""`runbus resume`: answer a run that waits, from words of the command or field by field.

A person types in the main thread, where Ctrl-C is heard; the server is asked on one loop beside it,
which keeps its connection from the question to the answer.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from functools import partial
from getpass import getuser
from typing import TYPE_CHECKING, Annotated, Any, cast

from cyclopts import Parameter
from rich.rule import Rule
from rich.text import Text

from runbus import get_client
from runbus.background.bridge import run as block
from runbus.cli import form_prompts, output, times
from runbus.cli.answer_summary import in_words
from runbus.cli.arguments import read_words
from runbus.cli.exits import DONE, INTERRUPTED, Failed, WrongCall
from runbus.cli.terminal import is_conversation
from runbus.errors import (
    AlreadyAnswered,
    AnswerRefused,
    NotPaused,
    OwnerGone,
    OwnerSilent,
    QuestionChanged,
)
from runbus.forms import catalogue
from runbus.forms.exact_json import read_exact
from runbus.forms.normal_form import normal_form
from runbus.forms.references import fields_of
from runbus.forms.schema import is_one_value, names_of
from runbus.forms.secrets import without_secrets
from runbus.forms.values import Mistyped
from runbus.protocol.printed import one_line
from runbus.protocol.problems import by_place
from runbus.protocol.records import Waiting
from runbus.protocol.values import read_json

if TYPE_CHECKING:
    from runbus.protocol.records import FlowRun, Pause
    from runbus.store.records.pauses import Resumed

_INPUT_HELP = (
    'The answer as JSON, {"field": value}; @FILE reads it from a file, - from standard input. '
    "Where one value is asked for, the value alone will do."
)


def resume(
    run: output.Run,
    /,
    *,
    words: Annotated[
        str | None, Parameter(name="--input", help=_INPUT_HELP, allow_leading_hyphen=True)
    ] = None,
    by: Annotated[str | None, Parameter(help="Who answers; your user name by default.")] = None,
    json: output.Json = False,
) -> int:
    """Answer a run that waits, so that it goes on."""
    asked = block(partial(_waiting, run))
    who = by or user_name()
    if words is None and _form(asked) and is_conversation():
        try:
            answer, resumed = _ask(asked, who)
        except (KeyboardInterrupt, EOFError):
            output.note("\nNothing was answered. The run still waits.")
            return INTERRUPTED
    else:
        answer = _given(_form(asked), words)
        try:
            resumed = block(partial(_send, asked, answer, who))
        except QuestionChanged:
            raise Failed(
                f"{asked.run.name} asks again: its question has changed, or an answer was refused. "
                "See it with `runbus run show`, and answer once more. This was not stored."
            ) from None
    _tell(asked, answer, resumed, as_json=json)
    return DONE


async def _waiting(text: str) -> Waiting:
    client = get_client()
    run = await client.find_flow_run(text)
    pause = await client.read_pause(run.id)
    if pause is None and run.state.is_crashed():
        why = run.state.message or "its process ended"
        raise Failed(f"{run.name} is {run.state.name}: {why}; nobody waits for an answer.")
    if pause is None and run.state.name != "Suspended":  # which it may be without a question
        raise Failed(f"{run.name} is {run.state.name} and waits for no answer{await _last(run)}.")
    return Waiting(run=run, pause=pause)


async def _last(run: FlowRun) -> str:
    """Tell of the last answer that a run got."""
    answered = [each for each in await get_client().read_pauses(run.id) if each.state == "answered"]
    return f"; {in_words(answered[-1])}" if answered else ""


async def _send(asked: Waiting, answer: dict[str, Any], by: str | None) -> Resumed:
    """Answer what was asked, if it still is: meanwhile the run may ask for something else."""
    run, pause = asked.run, asked.pause
    client = get_client()
    key, generation = ("", None) if pause is None else (pause.key, pause.generation)
    is_told = False
    try:
        while True:
            try:
                return await client.answer_flow_run(
                    run.id, answer, by=by, key=key, generation=generation
                )
            except OwnerSilent as silent:
                if not is_told:
                    output.note(f"{run.name}: its process says nothing; looking whether it lives …")
                is_told = True
                await asyncio.sleep(silent.retry_seconds)
    except OwnerGone as gone:
        raise Failed(
            f"{run.name} is {gone.state}: its process ended; nobody waits for the answer. "
            "This was not stored."
        ) from None
    except QuestionChanged:
        raise
    except (AlreadyAnswered, NotPaused):
        past = [each for each in await client.read_pauses(run.id) if each.key == key]
        what = _in_words(past[0]) if past else "It is resumed already"
        raise Failed(
            f"{run.name} does not wait for this any more. {what}. This was not stored."
        ) from None


def _is_same(now: Pause | None, before: Pause | None) -> bool:
    if now is None or before is None:
        return now is before
    return (now.key, now.generation) == (before.key, before.generation)


def _in_words(pause: Pause) -> str:
    match pause.state:
        case "expired":
            return "Nobody answered in time"
        case "cancelled":
            return "The flow has withdrawn the question"
        case _:
            return in_words(pause)


def _form(asked: Waiting) -> dict[str, Any]:
    return (asked.pause and asked.pause.schema) or {}


def _given(schema: dict[str, Any], words: str | None) -> dict[str, Any]:
    if words is None:
        if schema:
            raise WrongCall(
                "there is no terminal to ask on: pass the answer with --input JSON, --input @file, "
                "or --input - for standard input."
            )
        return {}
    try:
        value = read_exact(read_words("--input", words))
    except Mistyped as error:
        raise WrongCall(f"--input: {error}. {catalogue.QUOTES_WANTED}") from None
    if not isinstance(value, dict) and is_one_value(schema):
        value = {"value": value}
    if isinstance(value, dict):
        return cast("dict[str, Any]", normal_form(schema, value))
    raise WrongCall(f"--input: {catalogue.FIELDS_WANTED}")


def _ask(asked: Waiting, by: str | None) -> tuple[dict[str, Any], Resumed]:
    """Ask until an answer is taken; return it and what became of the run."""
    answer = _former(asked)
    _show_question(asked)
    wrong: set[str] | None = None
    while True:
        answer = form_prompts.ask(_form(asked), answer, wrong)
        try:
            return answer, block(partial(_send, asked, answer, by))
        except AnswerRefused as refused:
            asked = block(partial(_asked_now, asked))
            wrong = _show_problems(asked, refused.problems)
        except QuestionChanged:
            output.line("The question was asked again meanwhile. Nothing was sent.", "yellow")
            asked, wrong = block(partial(_waiting, str(asked.run.id))), None
            answer = _former(asked) | answer
            _show_question(asked)


def _former(asked: Waiting) -> dict[str, Any]:
    """Return the last answer of a question that is asked again."""
    return fields_of(read_json(asked.pause and asked.pause.former))


async def _asked_now(asked: Waiting) -> Waiting:
    """Read the question again: its form is another by now."""
    now = await get_client().read_pause(asked.run.id)
    return replace(asked, pause=now) if _is_same(now, asked.pause) else asked


def _show_problems(asked: Waiting, problems: dict[str, str]) -> set[str]:
    """Show what is wrong, and return which fields to ask for again: none means all."""
    output.line("The answer does not fit the form:", "red")
    output.problems(problems)
    fields = {name.partition(".")[0] for name in problems}
    return fields if fields <= set(names_of(_form(asked))) else set()


def _show_question(asked: Waiting) -> None:
    run, pause = asked.run, asked.pause
    head = Text(one_line(run.name), "bold")
    head.append(f"  {one_line(run.flow_name)}", "not bold dim")
    if pause and pause.deadline is not None:
        head.append(f"  {times.relative(pause.deadline)}", "not bold yellow")
    output.line(head)
    if pause and pause.description:
        output.markdown(pause.description)
    if pause and pause.problems:
        output.line("The last answer was not taken:", "red")
        output.problems(by_place(pause.problems))
    output.block(Rule(style="dim"))


def _tell(asked: Waiting, answer: dict[str, Any], resumed: Resumed, *, as_json: bool) -> None:
    run = asked.run
    if as_json:
        shown = without_secrets(_form(asked), answer)
        output.json({"id": run.id, "name": run.name, "answer": shown})
    else:
        answered = "is answered, and " if asked.pause else ""
        when = " when a worker has it" if resumed.waits_for_worker else ""
        output.line(f"{one_line(run.name)} {answered if when else ''}goes on{when}.")


def user_name() -> str | None:
    """Return the name of who calls the command."""
    with suppress(OSError, KeyError, ImportError):  # no user of this number
        return getuser()
    return None
