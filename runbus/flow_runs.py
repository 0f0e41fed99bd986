"""The verbs about flow runs: pause, resume, cancel, wait.

Each is implemented once, as the coroutine function whose name begins with `a`. The plain name is
one line over it: it blocks in a thread and returns something to await on an event loop.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import nullcontext, suppress
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING, Any, overload

from pydantic import ValidationError

from runbus.background import bridge
from runbus.background.caller import in_caller
from runbus.errors import (
    AlreadyAnswered,
    AlreadyEnded,
    AnswerRefused,
    CannotPause,
    FlowInterrupt,
    FlowRunCancelled,
    FlowRunSuspended,
    InvalidArgument,
    NotPaused,
    OwnerGone,
    OwnerSilent,
    RunbusError,
    RunLost,
    RunMissing,
    RunNotEnded,
)
from runbus.execution.current_run import current_flow_run, running_flow
from runbus.execution.verbs import verb
from runbus.protocol import states
from runbus.protocol.durability import Durability, check_durability
from runbus.protocol.entries import check_text
from runbus.protocol.ids import parse_run_id
from runbus.protocol.types import check_key_prefix
from runbus.protocol.values import encode
from runbus.store.bus import current_bus
from runbus.store.maintenance import owners
from runbus.store.maintenance.run_end import wait_for_end
from runbus.store.records import child_runs, deployments, pauses, runs
from runbus.store.records.control import Control
from runbus.store.records.pauses import Resumed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from typing_extensions import TypeVar

    from runbus.background.bridge import Pending
    from runbus.execution.run_context import RunningFlow
    from runbus.input.question import Question
    from runbus.protocol.json_value import JSONValue
    from runbus.protocol.records import FlowRun, Pause
    from runbus.store.records.pauses import Form, Opened, Reopen

    T = TypeVar("T", default=None)
    V = TypeVar("V", default=Pending[None])

WITHDRAW_SECONDS = 3
_log = logging.getLogger("runbus.flow_runs")


@overload
async def apause_flow_run(
    wait_for_input: type[T] | None = None,
    timeout: float | None = ...,
    poll_interval: float = ...,
    key: str | None = ...,
) -> T: ...
@overload
async def apause_flow_run(
    wait_for_input: object,
    timeout: float | None = ...,
    poll_interval: float = ...,
    key: str | None = ...,
) -> Any: ...
async def apause_flow_run(
    wait_for_input: object = None,
    timeout: float | None = 3600,
    poll_interval: float = 10,
    key: str | None = None,
) -> object:
    """Wait, in this flow, until somebody resumes the run; return what they answered.

    `wait_for_input` is the type of the answer: a model, a `RunInput` (with `with_initial_data`), or
    a built-in type; without one, nothing is asked. `timeout` is in seconds, None waits for ever.
    `key` names the pause within the run, by default its number: when the flow runs again (a retry),
    a pause that was answered returns its answer at once.

    Raises `FlowPauseTimeout`; pydantic's `ValidationError` when the model's own validators refuse
    the answer, which then is asked for anew by the next pause; and `UsageError`.
    """
    return await _pause(running_flow("pause_flow_run"), wait_for_input, timeout, poll_interval, key)


async def _pause(
    run: RunningFlow,
    wait_for_input: object,
    timeout: float | None,
    poll_interval: float | None,
    key: str | None,
) -> object:
    from runbus.input.question import question_about  # late: it needs pydantic's models

    question = await in_caller(partial(question_about, wait_for_input))
    check_timeout(timeout)
    if key is None:
        run.pauses += 1
    name = str(run.pauses) if key is None else check_key_prefix(key)
    try:
        return await _ask(run, name, question, timeout, poll_interval)
    except (CannotPause, InvalidArgument, ValidationError):
        # No pause was passed: the next one has the same number.
        run.pauses -= key is None
        raise


async def _ask(
    run: RunningFlow,
    key: str,
    question: Question,
    timeout: float | None,
    poll_interval: float | None,
) -> object:
    bus, run_id = current_bus(), run.run_id
    form = await question.form(key, run_id)
    ask = partial(
        pauses.open_pause,
        *(bus, run_id, key, form),
        timeout=timeout,
        retry=run.flow_run.retry,
        epoch=run.epoch,
        state="Suspended" if poll_interval is None else "Paused",
        waits_in=run.waits_in,
    )
    try:
        with run.asking(key):
            opened = await ask()
            if opened.is_answered:
                answered = await pauses.read(bus, run_id, key)
                if answered is None:  # a failover has lost it just now
                    raise RunLost(run_id)
            else:
                answered = await _wait(run, opened, form, poll_interval, ask)
    except asyncio.CancelledError:
        await _give_up(run, key, poll_interval)
        raise
    try:
        return await question.answer(run_id, answered)
    except ValidationError:
        await pauses.refuse(bus, run_id, opened)
        raise


async def _wait(
    run: RunningFlow,
    opened: Opened,
    form: Form,
    poll_interval: float | None,
    reopen: Reopen,
) -> Pause:
    from runbus.input.question import answer_check, title_of_form

    advice = f"{title_of_form(form)}; to answer: runbus resume {quote(run.name)}"
    if poll_interval is None:
        _log.info("%s is suspended for %s", run.name, advice)
        run.has_left = True
        run.end(FlowRunSuspended(run.run_id))
        raise FlowRunSuspended(run.run_id)
    _log.info("%s is paused for %s", run.name, advice)
    check = answer_check(form)
    async with run.waiting():
        answered = await pauses.wait(
            current_bus(), run.run_id, opened, poll_interval, check, reopen
        )
        await run.confirm()
    _log.info("%s goes on%s", run.name, f", resumed by {answered.by}" if answered.by else "")
    return answered


async def _give_up(run: RunningFlow, key: str, poll_interval: float | None) -> None:
    if run.interrupt is not None or bridge.background.ends:
        return  # not the flow's own will: the question stands
    if poll_interval is None:  # it is suspended by now, or not: so it is
        run.end(FlowRunSuspended(run.run_id))
        return
    with suppress(RunbusError, TimeoutError):
        async with asyncio.timeout(WITHDRAW_SECONDS):
            await pauses.withdraw(current_bus(), run.run_id, key, run.epoch)


@overload
async def asuspend_flow_run(
    wait_for_input: type[T] | None = None,
    flow_run_id: UUID | str | None = ...,
    timeout: float | None = ...,
    key: str | None = ...,
) -> T: ...
@overload
async def asuspend_flow_run(
    wait_for_input: object,
    flow_run_id: UUID | str | None = ...,
    timeout: float | None = ...,
    key: str | None = ...,
) -> Any: ...
async def asuspend_flow_run(
    wait_for_input: object = None,
    flow_run_id: UUID | str | None = None,
    timeout: float | None = None,
    key: str | None = None,
) -> object:
    """Leave the process until somebody resumes the run; the flow then runs again from the start.

    Then this call returns the answer, and so does each pause before it. The arguments are those of
    `apause_flow_run`. With the `flow_run_id` of another run, that run is asked to suspend itself:
    at once where it waits or is the caller of this one, elsewhere at its next verb.

    Raises `CannotPause` for a run without a deployment, since nobody would go on with it.
    """
    if flow_run_id is not None and not _is_current(parse_run_id(flow_run_id)):
        return await _suspend_other(parse_run_id(flow_run_id))
    run = running_flow("suspend_flow_run")
    _check_deployed(run.flow_run)
    return await _pause(run, wait_for_input, timeout, None, key)


def _is_current(run_id: UUID) -> bool:
    run = current_flow_run()
    return run is not None and run.run_id == run_id


async def _suspend_other(run_id: UUID) -> None:
    bus = current_bus()
    run = await runs.read(bus, run_id)
    _check_deployed(run)
    if await runs.move(bus, run, "Suspended", after=["Scheduled"]) is None:
        return
    run = await runs.read(bus, run_id)
    if run.state.is_final():
        raise AlreadyEnded(flow_run_id=run.id, state=run.state.name)
    if run.state.name != "Suspended":
        await Control(bus, run.id).signal("suspend", run.epoch)
        _leave_with(run_id, FlowRunSuspended(run_id))


def _leave_with(run_id: UUID, interrupt: FlowInterrupt) -> None:
    """Leave the current flow if it is this run, or was called in it: it is not to go on."""
    current = current_flow_run()
    run = current and current.executed(run_id)
    if run is not None:
        run.end(interrupt)
        raise interrupt


def _check_deployed(run: FlowRun) -> None:
    if run.deployment_id is None:
        raise CannotPause(
            f"flow run {run.id} was called directly, so no worker would go on with it: serve its "
            "flow (`some_flow.serve(name='…')`) and start it with run_deployment, or pause it."
        )


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

    Raises `AnswerRefused`, which says per field what is wrong, `NotPaused`, `AlreadyAnswered` and
    `RunMissing`. In each case nothing is changed. Raises `NotDurable` where the answer is stored
    and the run goes on, but no more than that is known.
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
        pause.schema, await in_caller(partial(_encode_answer, run_input))
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
        await child_runs.end_called(bus, run.id, gone.state)
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


async def acancel_flow_run(flow_run_id: UUID | str, children: bool = True) -> None:
    """Ask a run to end: at once where it waits, elsewhere at its next verb or `await`.

    One that nobody executes has ended when this returns. The flows that it called end with it.
    With `children`, so do the runs of deployments that it started and that wait: for a worker, for
    an answer, or for their next retry; also where a flow that they called does. Those that run go
    on, and so do those that were started with an `idempotency_key`, since others may count on them.

    Raises `AlreadyEnded` and `RunMissing`.
    """
    bus = current_bus()
    run = await runs.read(bus, parse_run_id(flow_run_id))
    found: str | None = states.UNATTENDED[0]
    while found in states.UNATTENDED:  # until one of the two moves fits: others move it, too
        found = await runs.move(bus, run, "Cancelled", after=states.UNATTENDED)
        if found is not None:
            found = await runs.move(bus, run, "Cancelling")
    if found is not None and found != "Cancelling":
        raise AlreadyEnded(flow_run_id=run.id, state=found)
    # Whoever hears it: nothing follows on this, and the epoch of one that has ended is closed.
    await Control(bus, run.id).signal("cancel")
    run = await runs.read(bus, run.id)
    if children:
        await _cancel_waiting_children(run.id)
    if run.state.is_final():  # else the process that executes it does this
        await child_runs.end_called(bus, run.id, "Cancelled")
    _leave_with(run.id, FlowRunCancelled(run.id))


async def _cancel_waiting_children(parent_run_id: UUID) -> None:
    for child in await child_runs.read(current_bus(), parent_run_id):
        if child.deployment_id is None:
            await _cancel_waiting_children(child.id)
        elif await _waits(child):
            with suppress(AlreadyEnded, RunMissing):
                await acancel_flow_run(child.id)


async def _waits(run: FlowRun) -> bool:
    """Whether a run waits, itself or in flows that it has called: all of them, if it has."""
    if run.state.name in states.WAITING or run.state.is_final():
        return run.state.name in states.WAITING
    parts = await child_runs.read(current_bus(), run.id)
    called = [each for each in parts if each.deployment_id is None and not each.state.is_final()]
    return bool(called) and all([await _waits(each) for each in called])


async def await_for_flow_run(
    flow_run_id: UUID | str, timeout: float | None = 10800, poll_interval: float = 10
) -> FlowRun:
    """Wait until a run has ended, and return it. `timeout` is in seconds; 0 looks once.

    Raises `RunNotEnded`, which is a `TimeoutError`, and `RunMissing`.
    """
    run_id = parse_run_id(flow_run_id)
    check_timeout(timeout)
    if timeout == 0:
        run = await runs.read(current_bus(), run_id)
        if run.state.is_final():
            return run
        raise RunNotEnded(flow_run_id=run_id, timeout=timeout)
    return await ended(run_id, timeout, poll_interval)


async def ended(
    run_id: UUID, timeout: float | None, poll_interval: float, known: FlowRun | None = None
) -> FlowRun:
    """Wait until a run has ended; others execute meanwhile. `known` is what was just read of it.

    Raises as `await_for_flow_run`.
    """
    run = current_flow_run()
    limit = asyncio.timeout(timeout)
    async with nullcontext() if run is None else run.waiting():
        try:
            async with limit:
                return await wait_for_end(current_bus(), run_id, poll_interval, known)
        except TimeoutError:
            if limit.expired():
                raise RunNotEnded(flow_run_id=run_id, timeout=timeout or 0) from None
            raise


@overload
def pause_flow_run(
    wait_for_input: type[V] | None = None,
    timeout: float | None = ...,
    poll_interval: float = ...,
    key: str | None = ...,
) -> V: ...
@overload
def pause_flow_run(
    wait_for_input: object,
    timeout: float | None = ...,
    poll_interval: float = ...,
    key: str | None = ...,
) -> Any: ...
def pause_flow_run(
    wait_for_input: object = None,
    timeout: float | None = 3600,
    poll_interval: float = 10,
    key: str | None = None,
) -> object:
    """See `apause_flow_run`, whose name is for async code that a type checker reads.

    For a checker, `pause_flow_run(bool)` is a `bool`, as it is in code without `await`, and
    `await pause_flow_run(bool)` an error; both are right for a `RunInput`, and without a type.
    """
    return verb("pause_flow_run", apause_flow_run, wait_for_input, timeout, poll_interval, key)


@overload
def suspend_flow_run(
    wait_for_input: type[V] | None = None,
    flow_run_id: UUID | str | None = ...,
    timeout: float | None = ...,
    key: str | None = ...,
) -> V: ...
@overload
def suspend_flow_run(
    wait_for_input: object,
    flow_run_id: UUID | str | None = ...,
    timeout: float | None = ...,
    key: str | None = ...,
) -> Any: ...
def suspend_flow_run(
    wait_for_input: object = None,
    flow_run_id: UUID | str | None = None,
    timeout: float | None = None,
    key: str | None = None,
) -> object:
    """See `asuspend_flow_run`; a type checker reads it as `pause_flow_run`."""
    return verb("suspend_flow_run", asuspend_flow_run, wait_for_input, flow_run_id, timeout, key)


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


def cancel_flow_run(flow_run_id: UUID | str, children: bool = True) -> Pending[None]:
    """See `acancel_flow_run`."""
    return verb("cancel_flow_run", acancel_flow_run, flow_run_id, children)


def wait_for_flow_run(
    flow_run_id: UUID | str, timeout: float | None = 10800, poll_interval: float = 10
) -> FlowRun:
    """See `await_for_flow_run`."""
    return verb("wait_for_flow_run", await_for_flow_run, flow_run_id, timeout, poll_interval)


def _is_meant(pause: Pause, key: str | None, generation: int | None) -> bool:
    return key in {None, pause.key} and generation in {None, pause.generation}


async def _too_late(
    run: FlowRun, key: str | None, generation: int | None
) -> AlreadyAnswered | NotPaused:
    wanted = run.pause if key is None else key
    pause = await pauses.read(current_bus(), run.id, wanted) if wanted else None
    if pause is None or (run.state.is_crashed() and pause.state == "cancelled"):
        return _not_paused(run)
    if generation not in {None, pause.generation}:  # it was refused, and is asked for anew
        return NotPaused(flow_run_id=run.id, state="past that question")
    return pauses.too_late(run.id, pause)


def _encode_answer(run_input: object) -> bytes:
    if run_input is None:
        return b"{}"
    from runbus.forms.exact_json import write_exact  # late: few answer

    data = write_exact(run_input, encode)
    if not data.startswith(b"{"):
        advice = 'pass {"field": value, …}, {"value": …} for a built-in type'
        raise InvalidArgument("run_input", run_input, advice)
    return data


def check_timeout(timeout: object) -> None:
    """Raise `InvalidArgument` for what is no number of seconds."""
    if timeout is not None and not (isinstance(timeout, (int, float)) and timeout >= 0):
        raise InvalidArgument("timeout", timeout, "pass seconds, 0 or more, or None")
