"""Asking: what pause and suspend have in common, from the type of the answer to its value."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from runbus.background.background_loop import background
from runbus.background.caller import in_caller
from runbus.errors import (
    CannotPause,
    FlowRunCancelled,
    FlowRunSuspended,
    InvalidArgument,
    RunbusError,
    RunLost,
)
from runbus.flow_runs.wait import check_timeout
from runbus.protocol.types import check_key_prefix
from runbus.store.bus import current_bus
from runbus.store.records import pause_opening, pauses
from runbus.store.records.answer_wait import AnswerWait

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from runbus.execution.run_context import RunningFlow
    from runbus.input.question import Question
    from runbus.protocol.records import Pause
    from runbus.store.records.answer_wait import Reopen
    from runbus.store.records.pause_opening import Form, Opened


WITHDRAW_SECONDS = 3
_log = logging.getLogger("runbus.flow_runs")


async def ask(
    run: RunningFlow,
    wait_for_input: object,
    timeout: float | None,
    poll_interval: float | None,
    key: str | None,
) -> object:
    """Ask in a pause of this run and return the answer; without a `poll_interval`, suspend.

    Raises as `apause_flow_run`.
    """
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
    from runbus.input.question import is_same_form, refused

    bus, run_id = current_bus(), run.run_id
    form = await question.form(key, run_id)
    opening = _opening(run, key, form, timeout, poll_interval)
    opened, answered = await _answered(run, key, form, poll_interval, opening, opening)
    while True:
        try:
            return await question.answer(run_id, answered, form)
        except ValidationError as error:
            why = await in_caller(partial(refused, error, answered, form))
            if is_same_form(answered, form):
                await pause_opening.refuse(bus, run_id, opened, why)
                raise
        _log.info("%s asks again: its form has changed, and the answer does not fit it", run.name)
        again = partial(opening, refused=why)
        opened, answered = await _answered(run, key, form, poll_interval, again, opening)


def _opening(
    run: RunningFlow, key: str, form: Form, timeout: float | None, poll_interval: float | None
) -> partial[Coroutine[Any, Any, Opened]]:
    return partial(
        pause_opening.open_pause,
        *(current_bus(), run.run_id, key, form),
        timeout=timeout,
        retry=run.flow_run.retry,
        epoch=run.epoch,
        state="Suspended" if poll_interval is None else "Paused",
        waits_in=run.waits_in,
        waits=run.waits_in(key),
    )


async def _answered(
    run: RunningFlow,
    key: str,
    form: Form,
    poll_interval: float | None,
    ask: Reopen,
    reopen: Reopen,
) -> tuple[Opened, Pause]:
    """Ask, and return the pause once it is answered."""
    bus, run_id = current_bus(), run.run_id
    try:
        with run.asking(key):
            opened = await ask()
            if opened.is_answered:
                answered = await pauses.read(bus, run_id, key)
                if answered is None:  # a failover has lost it just now
                    raise RunLost(run_id)
            else:
                answered = await _wait(run, opened, form, poll_interval, reopen)
    except asyncio.CancelledError:
        await _give_up(run, key, poll_interval)
        raise
    return opened, answered


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
