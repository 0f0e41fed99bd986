"""The engine: calls the code of a flow.

Both kinds of flow go through the same steps, `Execution.begin` and `Execution.conclude`; only the
call between them differs, as one is awaited and the other blocks its thread.
"""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from runbus import bridge, caller
from runbus.caller import blocked_loops
from runbus.context import bound_run
from runbus.execution import Execution, completed
from runbus.plan import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.flow_run_context import FlowRunContext
    from runbus.plan import Claim, Plan


async def run_async(plan: Plan, claim: Claim | None = None) -> Any:
    """Run an async flow, in the task that awaits this."""
    execution = Execution(plan, claim)
    context = await execution.begin()
    if isinstance(context, Outcome):
        return context.result()
    while True:
        outcome = await _awaited(plan, context)
        delay = await execution.conclude(outcome)
        if delay is None:
            return outcome.result()
        context = await execution.begin_again(delay)


def run_sync(plan: Plan, claim: Claim | None = None) -> Any:
    """Run a sync flow: in this thread, or in one of its own if an event loop runs in this one."""
    if bridge.on_loop():
        return _in_own_thread(partial(run_sync, plan, claim))
    execution = Execution(plan, claim)
    context = caller.run(execution.begin)
    if isinstance(context, Outcome):
        return context.result()
    while True:
        outcome = _called(plan, context)
        delay = bridge.run(partial(execution.conclude, outcome))
        if delay is None:
            return outcome.result()
        context = bridge.run(partial(execution.begin_again, delay))


async def _awaited(plan: Plan, context: FlowRunContext) -> Outcome:
    async def body() -> Outcome:
        try:
            async with bound_run(context.flow_run.id):
                return completed(plan, context, await plan.call())
        except (SystemExit, KeyboardInterrupt) as error:
            return Outcome(error=error)  # a task would end its loop with it, and others' runs

    try:
        with context.entered():
            return await context.interruptible(body())
    except BaseException as error:
        return Outcome(error=error)


def _called(plan: Plan, context: FlowRunContext) -> Outcome:
    try:
        with context.entered(), bound_run(context.flow_run.id):
            return completed(plan, context, plan.call())
    except BaseException as error:
        return Outcome(error=error)


def _in_own_thread(work: Callable[[], Any]) -> Any:
    # Not of a pool: as many flows may wait at once as there are.
    outcome = Outcome()

    def call() -> None:
        nonlocal outcome
        try:
            outcome = Outcome(value=work())
        except BaseException as error:
            outcome = Outcome(error=error)

    context = copy_context()
    context.run(blocked_loops.set, blocked_loops.get() | {asyncio.get_running_loop()})
    thread = threading.Thread(target=context.run, args=(call,), name="runbus-flow")
    thread.start()
    thread.join()
    return outcome.result()
