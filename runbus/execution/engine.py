"""The engine: calls the code of a flow.

Both kinds of flow go through the same steps, `Execution.begin` and `Execution.conclude`; only the
call between them differs, as one is awaited and the other blocks its thread.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from runbus.background import bridge
from runbus.errors import FlowInterrupt
from runbus.execution.call import CallResult
from runbus.execution.current_run import bound_run, entered
from runbus.execution.interruption import told_apart
from runbus.execution.run import INTERRUPTED_SECONDS, Execution
from runbus.execution.stored_values import completed
from runbus.execution.sync_run import SyncRun
from runbus.store.connection.connection import settle
from runbus.supervision import tasks
from runbus.supervision.blocked_loop import watch

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from runbus.execution.call import Claim, FlowCall
    from runbus.execution.run_context import RunningFlow

T = TypeVar("T")


async def run_async(flow_call: FlowCall, claim: Claim | None = None) -> object:
    """Run an async flow, in the task that awaits this."""
    execution = Execution(flow_call, claim)
    if claim is None:
        context, cancelled = await _to_its_end(execution.begin())
    else:
        context, cancelled = execution.begin_claimed(claim), None
    if isinstance(context, CallResult):
        return context.result()
    while True:
        ends = cancelled is not None
        outcome = CallResult(error=cancelled) if ends else await _awaited(flow_call, context)
        delay, cancelled = await _to_its_end(execution.conclude(outcome))
        if delay is None:
            return (outcome if cancelled is None else CallResult(error=cancelled)).result()
        if cancelled is None:
            context = await execution.begin_again(delay)


def run_sync(flow_call: FlowCall, claim: Claim | None = None) -> object:
    """Run a sync flow: in this thread, or in one of its own if an event loop runs in this one."""
    run = SyncRun(flow_call, claim)
    return run.result_of_own_thread() if bridge.on_loop() else run.result()


async def _to_its_end(work: Coroutine[object, None, T]) -> tuple[T, BaseException | None]:
    """Do what is not to be done by halves, in a task of its own; return how it was cancelled.

    Who cancels does not want to wait for a server that does not answer: then it is raised.
    """
    loop = asyncio.get_running_loop()
    task = tasks.start(work)
    cancelled: BaseException | None = None
    while not task.done():
        try:
            if cancelled is None:
                await _done(task, loop)
            else:
                await asyncio.wait([task], timeout=INTERRUPTED_SECONDS)
                task.cancel()
        except (asyncio.CancelledError, FlowInterrupt) as error:
            cancelled = error  # from some scopes it comes again and again
    if cancelled is not None and (task.cancelled() or task.exception() is not None):
        raise cancelled
    return task.result(), cancelled


async def _done(task: asyncio.Task[Any], loop: asyncio.AbstractEventLoop) -> None:
    done: asyncio.Future[None] = loop.create_future()
    task.add_done_callback(lambda _: settle(done, None))
    await done


async def _awaited(flow_call: FlowCall, context: RunningFlow) -> CallResult:
    code = _flow_code(flow_call, context)
    try:
        with entered(context), watch(asyncio.get_running_loop(), context.name):
            return await context.flow_code(code)
    except BaseException as error:
        return CallResult(error=told_apart(error, context.interrupt))
    finally:
        code.close()  # it may not have begun


async def _flow_code(flow_call: FlowCall, context: RunningFlow) -> CallResult:
    try:
        async with bound_run(context.flow_run.id):
            await context.confirm()  # the process may have slept since it took the run
            return completed(flow_call, context, await flow_call.call())
    except (SystemExit, KeyboardInterrupt) as error:
        return CallResult(error=error)  # a task would end its loop with it, and others' runs
