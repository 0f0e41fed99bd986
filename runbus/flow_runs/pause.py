"""Pause and suspend: a flow asks, and goes on with the answer.

Each verb about runs is implemented once, as the coroutine function whose name begins with `a`. The
plain name is one line over it: it blocks in a thread and returns something to await on a loop.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING, Any, overload

from pydantic import ValidationError

from runbus.background.background_loop import background
from runbus.background.caller import in_caller
from runbus.errors import (
    AlreadyEnded,
    CannotPause,
    FlowRunCancelled,
    FlowRunSuspended,
    InvalidArgument,
    RunbusError,
    RunLost,
)
from runbus.execution.current_run import current_flow_run, leave_with, running_flow
from runbus.execution.verbs import verb
from runbus.flow_runs.wait import check_timeout
from runbus.protocol.ids import parse_run_id
from runbus.protocol.types import check_key_prefix
from runbus.store.bus import current_bus
from runbus.store.records import control, pauses, runs
from runbus.store.records.answer_wait import AnswerWait

if TYPE_CHECKING:
    from uuid import UUID

    from typing_extensions import TypeVar

    from runbus.background.pending import Pending
    from runbus.execution.run_context import RunningFlow
    from runbus.input.question import Question
    from runbus.protocol.records import FlowRun, Pause
    from runbus.store.records.answer_wait import Reopen
    from runbus.store.records.pauses import Form, Opened

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

    run.check_goes_on()
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
    except FlowRunCancelled as error:
        raise run.told(error) from None


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
    wait = AnswerWait(
        *(current_bus(), run.run_id, opened),
        poll_interval=poll_interval,
        judge=answer_check(form),
        reopen=reopen,
    )
    async with run.waiting():
        answered = await wait.answered()
        await run.confirm()
    _log.info("%s goes on%s", run.name, f", resumed by {answered.by}" if answered.by else "")
    return answered


async def _give_up(run: RunningFlow, key: str, poll_interval: float | None) -> None:
    if run.interrupt is not None or background.ends:
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
        await control.signal(bus, run.id, "suspend", run.epoch)
        leave_with(run_id, FlowRunSuspended(run_id))


def _check_deployed(run: FlowRun) -> None:
    if run.deployment_id is None:
        raise CannotPause(
            f"flow run {run.id} was called directly, so no worker would go on with it: serve its "
            "flow (`some_flow.serve(name='…')`) and start it with run_deployment, or pause it."
        )


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
