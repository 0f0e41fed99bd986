"""Resume: somebody answers a run that waits."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from runbus.background import unreached_children
from runbus.background.caller import in_caller
from runbus.errors import (
    AlreadyAnswered,
    AnswerRefused,
    InvalidArgument,
    NotPaused,
    OwnerGone,
    OwnerSilent,
    QuestionChanged,
    RunMissing,
)
from runbus.execution.verbs import verb
from runbus.protocol.durability import Durability, check_durability
from runbus.protocol.entries import check_text
from runbus.protocol.ids import parse_run_id
from runbus.protocol.values import encode
from runbus.store.bus import current_bus
from runbus.store.maintenance import owners
from runbus.store.records import deployments, pauses, runs
from runbus.store.records.pauses import Resumed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from typing_extensions import TypeVar

    from runbus.background.pending import Pending
    from runbus.protocol.json_value import JSONObject, JSONValue
    from runbus.protocol.records import FlowRun, Pause

    T = TypeVar("T", default=None)
    V = TypeVar("V", default=Pending[None])


_log = logging.getLogger("runbus.flow_runs")


async def aresume_flow_run(
    flow_run_id: UUID | str,
    run_input: Mapping[str, JSONValue] | None = None,
    by: str | None = None,
    durability: Durability = "memory",
    key: str | None = None,
    generation: int | None = None,
) -> None:
    """Answer a paused run, so that it goes on; one that was suspended from outside needs no answer.

    `run_input` has a value for each field, `{"value": …}` for a built-in type; fields that are left
    out take the form's defaults. `by` says who answers. The first answer counts. `durability` is
    that of `send_input`.

    Whoever has read the pause before answering passes its `key` and `generation`, so that the
    answer is for no other pause that the run may wait in by then; a `key` of `""` is for a run that
    waits in none.

    Where the process of a run that was called directly says nothing, this looks for up to the time
    of a lease (RUNBUS_LEASE_SECONDS) whether it lives. Raises `OwnerGone`, a `NotPaused`, when it
    does not: then the run is `Crashed`.

    Raises `AnswerRefused`, which says per field what is wrong, `NotPaused`, `AlreadyAnswered`,
    `RunMissing`, and `QuestionChanged`, a `NotPaused`, when the question is asked again since it
    was read. In each case nothing is changed. Raises `NotDurable` where the answer is stored and
    the run goes on, but no more than that is known.
    """
    is_told = False
    while True:
        try:
            resumed = await answer_flow_run(flow_run_id, run_input, by, durability, key, generation)
            break
        except OwnerSilent as silent:
            if not is_told:
                _log.warning("%s", silent)
            is_told = True
            await asyncio.sleep(silent.retry_seconds)
            key, generation = silent.key, silent.generation  # no other question
    if not resumed.is_attended:
        _log.warning("flow run %s is answered, and goes on when another worker has it", flow_run_id)


async def answer_flow_run(
    flow_run_id: UUID | str,
    run_input: Mapping[str, JSONValue] | None = None,
    by: str | None = None,
    durability: Durability = "memory",
    key: str | None = None,
    generation: int | None = None,
) -> Resumed:
    """Answer once, as `aresume_flow_run` does, and say what became of the run.

    Raises `OwnerSilent` while it is not known whether the process that waits lives.
    """
    check_durability(durability)
    run_id = parse_run_id(flow_run_id)
    answerer = "" if by is None else check_text("by", by)
    bus = current_bus()
    run, pause = await pauses.read_pending(bus, run_id)
    if pause is None and not key:
        return await _resume_unasked(run)
    if pause is None or not _is_meant(pause, key, generation):
        raise await _too_late(run, key, generation)
    from runbus.forms.answers import validate_answer

    answer, errors = validate_answer(
        pause.schema, await in_caller(partial(_encode_answer, pause.schema, run_input))
    )
    if errors:
        raise AnswerRefused(flow_run_id=run_id, key=pause.key, problems=errors)
    limit = bus.settings.max_input_bytes
    if len(answer) > limit:
        raise InvalidArgument("run_input", run_input, f"it is larger than {limit:,} bytes")
    resumed = await _answer(run, pause, answer, answerer)
    await pauses.make_durable(bus, run_id, pause, durability)
    return resumed


async def _answer(run: FlowRun, pause: Pause, answer: bytes, by: str) -> Resumed:
    bus = current_bus()
    if run.deployment_id is None and run.parent_run_id is not None:
        await owners.ensure_waits(bus, run, pause)
    try:
        resumed = await pauses.answer(bus, run, pause, answer, by)
    except OwnerGone as gone:
        await unreached_children.end_called(bus, run.id, gone.state)
        raise
    if run.deployment_id is not None and resumed.state == "Scheduled":  # else its worker has heard
        await deployments.hint(bus, run.deployment_id, run.id)
    elif run.deployment_id is None and resumed.state == "Pending":
        await _wake_caller(run)
    return resumed


async def _wake_caller(run: FlowRun) -> None:
    """Let the run go on in which an answered one was called, if it was suspended from outside."""
    with suppress(RunMissing, NotPaused):  # it has ended, waits for a worker, or has one by now
        while run.deployment_id is None and run.parent_run_id is not None:
            run = await runs.read(current_bus(), run.parent_run_id)
        await _resume_unasked(run)


async def _resume_unasked(run: FlowRun) -> Resumed:
    """Let a run go on that was suspended from outside; any other asked nothing."""
    if run.state.name != "Suspended" or run.pause is not None:
        raise _not_paused(run)
    found = await runs.resume(current_bus(), run)
    if found is not None:
        raise NotPaused(flow_run_id=run.id, state=found)
    if run.deployment_id is not None:
        await deployments.hint(current_bus(), run.deployment_id, run.id)
    return Resumed(state="Scheduled", is_attended=True)


def _not_paused(run: FlowRun) -> NotPaused:
    kind = OwnerGone if run.state.is_crashed() else NotPaused
    return kind(flow_run_id=run.id, state=run.state.name)


def resume_flow_run(
    flow_run_id: UUID | str,
    run_input: Mapping[str, JSONValue] | None = None,
    by: str | None = None,
    durability: Durability = "memory",
    key: str | None = None,
    generation: int | None = None,
) -> Pending[None]:
    """See `aresume_flow_run`."""
    answer = (run_input, by, durability, key, generation)
    return verb("resume_flow_run", aresume_flow_run, flow_run_id, *answer)


def _is_meant(pause: Pause, key: str | None, generation: int | None) -> bool:
    return key in {None, pause.key} and generation in {None, pause.generation}


async def _too_late(
    run: FlowRun, key: str | None, generation: int | None
) -> AlreadyAnswered | NotPaused:
    wanted = run.pause if key is None else key
    pause = await pauses.read(current_bus(), run.id, wanted) if wanted else None
    if pause is None or (run.state.is_crashed() and pause.state == "cancelled"):
        return _not_paused(run)
    if generation not in {None, pause.generation}:  # its form has changed, or it was refused
        if pause.state == "pending":
            return QuestionChanged(flow_run_id=run.id, key=pause.key)
        return NotPaused(flow_run_id=run.id, state="past that question")
    return pauses.too_late(run.id, pause)


def _encode_answer(schema: JSONObject | None, run_input: object) -> bytes:
    if run_input is None:
        return b"{}"
    from runbus.forms.normal_form import write_for  # late: few answer

    data = write_for(schema, run_input, encode)
    if not data.startswith(b"{"):
        advice = 'pass {"field": value, …}, {"value": …} for a built-in type'
        raise InvalidArgument("run_input", run_input, advice)
    return data
