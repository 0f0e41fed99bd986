"""The page of one run: its question and answers, its log and inputs, and what can be done to it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from runbus import send_input
from runbus.errors import (
    AlreadyAnswered,
    AlreadyEnded,
    AnswerRefused,
    NotPaused,
    OwnerSilent,
    QuestionChanged,
    RunbusError,
)
from runbus.forms.exact_json import read_exact
from runbus.forms.parts import UNSET
from runbus.forms.secrets import hidden_names, without_secrets
from runbus.forms.values import Mistyped, json_text, read_json
from runbus.input.exact_numbers import ExactValue
from runbus.redaction import shown_pause, shown_run
from runbus.web.form_page import (
    Taken,
    former_answer,
    question_form,
    refuse,
    take,
    without_typed_secrets,
)
from runbus.web.gone_fields import gone_fields, names_of_secrets
from runbus.web.templating import last, read_posted, see_other

if TYPE_CHECKING:
    from runbus.protocol.log_line import LogLine
    from runbus.protocol.records import FlowRun, Pause
    from runbus.protocol.stored_input import StoredInput
    from runbus.web.form_fields import Posted
    from runbus.web.form_page import Form
    from runbus.web.templating import Site

NEWEST_LINES = 500
MOST_INPUTS = 200
MOST_CHILDREN = 50
CLOCK_ERROR = timedelta(seconds=10)


def run_page(site: Site) -> APIRouter:
    """Make the routes under `/runs/<id>`."""
    router = APIRouter(include_in_schema=False, dependencies=[Depends(site.begin_page)])

    @router.get("/runs/{run_id}")
    async def show(request: Request, run_id: UUID) -> Response:
        return await _show(site, request, run_id)

    @router.post("/runs/{run_id}/answer")
    async def answer(request: Request, run_id: UUID) -> Response:
        return await _answer(site, request, run_id, await read_posted(request))

    @router.post("/runs/{run_id}/cancel")
    async def cancel(request: Request, run_id: UUID) -> Response:
        try:
            await site.client.cancel_flow_run(run_id)
        except AlreadyEnded as error:
            return await _show(site, request, run_id, 409, note=str(error))
        return see_other(f"/runs/{run_id}")

    @router.post("/runs/{run_id}/inputs")
    async def send(request: Request, run_id: UUID) -> Response:
        return await _send(site, request, run_id, await read_posted(request))

    for part in ("answer", "cancel", "inputs"):
        # Where a refused post stands, somebody may press Enter in the address.
        router.add_api_route(f"/runs/{{run_id}}/{part}", _back)
    return router


async def _back(run_id: UUID) -> Response:
    return see_other(f"/runs/{run_id}")


async def _show(
    site: Site,
    request: Request,
    run_id: UUID,
    status: int = 200,
    form: Form | None = None,
    **values: object,
) -> Response:
    run = await site.client.read_flow_run(run_id)
    verdict = await _look_after(site, run)
    if verdict == "TAKEN":
        run = await site.client.read_flow_run(run_id)
    pauses = await site.client.read_pauses(run_id)
    pending = next((each for each in pauses if each.key == run.pause), None)
    is_unasked = run.pause is None and run.state.name == "Suspended"
    shown: dict[str, object] = {
        "run": await shown_run(run),
        "pending": pending,
        "about": pending,
        "is_unasked": is_unasked,
        "pauses": [shown_pause(each) for each in reversed(pauses) if each is not pending],
        "history": await site.client.read_history(run_id),
        "lines": await _newest_lines(site, run),
        "streams": await site.client.read_streams(run_id),
        "inputs": await _newest_inputs(site, run),
        "children": await _children(site, run),
        "is_silent": verdict == "UNSURE",
        "is_unserved": await _is_unserved(site, run),
        "note": "",
        "not_sent": False,
        "is_asked_again": False,
        "gone": [],
        "first": None,
        "mine": "",
        "input_problem": "",
        "input_text": "",
        "input_stream": "",
    }
    shown |= values
    about = cast("Pause | None", shown["about"])
    shown["secrets"] = names_of_secrets(about and about.schema)
    shown["form"] = form or await asyncio.to_thread(question_form, pending)
    return await site.page(request, "run.html", status, **shown)


async def _look_after(site: Site, run: FlowRun) -> str:
    """Look whether somebody waits for the answer of a run that was called directly."""
    is_ended = run.state.is_final()
    return "" if is_ended else (await site.client.check_owners([run])).get(run.id, "")


async def _is_unserved(site: Site, run: FlowRun) -> bool:
    if run.state.name != "Scheduled" or run.deployment_id is None:
        return False
    return await site.client.is_served(run.deployment_id) is False


async def _newest_lines(site: Site, run: FlowRun) -> list[LogLine]:
    lines: list[LogLine] = []
    after: str | None = None
    while more := await site.client.read_logs(run.id, after=after, limit=1000):
        lines = [*lines, *more][-NEWEST_LINES:]
        after = more[-1].id
    return lines


async def _newest_inputs(site: Site, run: FlowRun) -> list[StoredInput]:
    return await site.client.read_inputs(run.id, limit=MOST_INPUTS, newest_first=True)


async def _children(site: Site, run: FlowRun) -> list[FlowRun]:
    # Without the times, every run that is stored would be looked at.
    until = run.end_time and run.end_time + CLOCK_ERROR
    return await site.client.read_flow_runs(
        parent_run_id=run.id,
        created_after=run.created - CLOCK_ERROR,
        created_before=until,
        limit=MOST_CHILDREN,
    )


# --- Answering -------------------------------------------------------------------------------


async def _answer(site: Site, request: Request, run_id: UUID, posted: Posted) -> Response:
    key = last(posted, "pause")
    pause = await site.client.read_pause(run_id)
    if pause is not None and key == pause.key and not _is_about(posted, pause):
        return await _asked_again(site, request, run_id, posted, pause)
    if not (_is_about(posted, pause) if pause else key == ""):
        return await _too_late(site, request, run_id, posted)
    taken = await asyncio.to_thread(take, pause.schema if pause else None, posted)
    if taken.answer is UNSET:
        status = 422 if taken.form.is_anything_wrong else 200
        return await _show(site, request, run_id, status, _sent_back(taken, pause), about=pause)
    return await _resume(site, request, run_id, posted, taken, pause)


async def _resume(
    site: Site, request: Request, run_id: UUID, posted: Posted, taken: Taken, pause: Pause | None
) -> Response:
    try:
        # The very pause that the person saw: another may be open by now.
        key, generation = last(posted, "pause"), last(posted, "generation")
        await site.client.answer_flow_run(
            run_id,
            taken.answer,
            request.state.by,
            key=key,
            generation=int(generation) if key else None,
        )
    except AnswerRefused as error:
        refuse(taken.form, error.problems)
        return await _show(site, request, run_id, 422, _sent_back(taken, pause), about=pause)
    except OwnerSilent:
        told = {"is_silent": True, "not_sent": True, "about": pause}
        return await _show(site, request, run_id, 409, _sent_back(taken, pause), **told)
    except QuestionChanged:
        return await _answer(site, request, run_id, posted)
    except (AlreadyAnswered, NotPaused):
        return await _too_late(site, request, run_id, posted)
    return see_other(f"/runs/{run_id}")


def _sent_back(taken: Taken, pause: Pause | None) -> Form:
    return without_typed_secrets(taken.form, pause and pause.schema)


async def _asked_again(
    site: Site, request: Request, run_id: UUID, posted: Posted, pause: Pause
) -> Response:
    """Show the question as it is asked now, with what was typed into its form before."""
    taken = await asyncio.to_thread(take, pause.schema, posted, former_answer(pause))
    gone = gone_fields(posted, taken.form, pause.schema)
    told = {"is_asked_again": True, "about": pause, "gone": gone}
    return await _show(site, request, run_id, 409, _sent_back(taken, pause), **told)


async def _too_late(site: Site, request: Request, run_id: UUID, posted: Posted) -> Response:
    pauses = await site.client.read_pauses(run_id)
    about = next((each for each in pauses if _is_about(posted, each)), None)
    mine = await _typed(about, posted)
    return await _show(
        site,
        request,
        run_id,
        409,
        first=about and shown_pause(about),
        mine=mine,
        note="" if about else _GONE,
    )


_GONE = "This run no longer waits for that answer."


async def _typed(pause: Pause | None, posted: Posted) -> str:
    if pause is None:
        return last(posted, "json") if last(posted, "do") == "json" else ""
    if last(posted, "do") == "json":
        typed = last(posted, "json")
    else:
        typed = (await asyncio.to_thread(take, pause.schema, posted)).form.json
    if not hidden_names(pause.schema):
        return typed
    try:
        return json_text(without_secrets(pause.schema, read_json(typed)))
    except Mistyped:
        return ""


def _is_about(posted: Posted, pause: Pause) -> bool:
    # A form that was opened for one question must not answer the next.
    return (last(posted, "pause"), last(posted, "generation")) == (
        pause.key,
        str(pause.generation),
    )


# --- Sending an input ------------------------------------------------------------------------


async def _send(site: Site, request: Request, run_id: UUID, posted: Posted) -> Response:
    stream, text = last(posted, "stream"), last(posted, "value")
    try:
        value = ExactValue(read_exact(text))
        sender = f"web:{request.state.by}"
        await send_input(value, run_id, sender=sender, key_prefix=stream)
    except (ValueError, RunbusError) as error:
        typed: dict[str, Any] = {
            "input_text": text,
            "input_stream": stream,
            "input_problem": str(error),
        }
        return await _show(site, request, run_id, 422, **typed)
    return see_other(f"/runs/{run_id}#{quote('inputs')}")
