"""A run of a sync flow: its code is called in a thread, which an interrupt may make leave anywhere.

So whether the run has begun and ended is the background loop's to know, which no signal interrupts:
when the thread has left a run that has not ended, it ends it.
"""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING

from runbus.background import bridge, caller
from runbus.background.background_loop import taken_lock
from runbus.execution.call import CallResult
from runbus.execution.current_run import CURRENT, bound_run, entered
from runbus.execution.interruption import told_apart
from runbus.execution.run import INTERRUPTED_SECONDS, Execution
from runbus.execution.stored_values import completed

if TYPE_CHECKING:
    from runbus.execution.call import Claim, FlowCall
    from runbus.execution.run_context import RunningFlow

LOOK_SECONDS = 0.2
"""How often a loop's thread looks, while a flow blocks it, whether its task is cancelled."""


class SyncRun:
    """One run of a sync flow."""

    def __init__(self, flow_call: FlowCall, claim: Claim | None) -> None:
        self._flow_call = flow_call
        self._execution = Execution(flow_call, claim)
        self._context: RunningFlow | None = None
        self._present = threading.Lock()
        self._caller: threading.Lock | None = None
        self._step = asyncio.Lock()
        self._ended = asyncio.Event()

    def result(self) -> object:
        """Call the flow in this thread."""
        try:
            with self._present:
                return self._call()
        except BaseException:
            if not self._ended.is_set():
                bridge.look()
            raise

    def result_of_own_thread(self) -> object:
        """Call the flow in a thread of its own; an interrupt of this one, a loop's, ends the run.

        So does the cancellation of its task by a signal's handler, as that of `asyncio.run`.
        """
        self._caller, done = threading.Lock(), taken_lock()
        outcome = CallResult()

        def call() -> None:
            nonlocal outcome
            try:
                outcome = CallResult(value=self.result())
            except BaseException as error:
                outcome = CallResult(error=error)
            done.release()

        # Not of a pool: as many flows may wait at once as there are.
        context = copy_context()
        context.run(caller.note_blocked_loop)
        target = partial(context.run, call)
        thread = threading.Thread(target=target, name="runbus-flow", daemon=True)
        try:
            with self._caller:
                thread.start()
                _wait_as_task(done)
        except BaseException:
            bridge.look()
            raise
        return outcome.result()

    def _call(self) -> object:
        context = caller.run(self._begin, must_end=True)
        if isinstance(context, CallResult):
            return context.result()
        while True:
            outcome = _called(self._flow_call, context)
            delay = caller.run(partial(self._conclude, outcome), must_end=True)
            if delay is None:
                return outcome.result()
            context = caller.run(partial(self._begin_again, delay))

    # On the background loop, one after the other.

    async def _begin(self) -> RunningFlow | CallResult:
        bridge.when_left(self._present, self._end_for_who_left)
        if self._caller is not None:
            bridge.when_left(self._caller, self._interrupt)
        async with self._step:
            try:
                begun = await self._execution.begin()
            except BaseException:
                self._note_end()
                raise
            if isinstance(begun, CallResult):
                self._note_end()
            else:
                self._context = begun
            return begun

    async def _conclude(self, outcome: CallResult) -> float | None:
        async with self._step:
            try:
                delay = await self._execution.conclude(outcome)
            except BaseException:
                self._note_end()
                raise
            if delay is None:
                self._note_end()
            return delay

    async def _begin_again(self, delay: float) -> RunningFlow:
        async with self._step:
            try:
                self._context = await self._execution.begin_again(delay)
            except BaseException:  # with which it has ended
                self._note_end()
                raise
            return self._context

    async def _end_for_who_left(self) -> None:
        async with self._step:
            if not self._ended.is_set():
                await self._execution.conclude(CallResult(error=KeyboardInterrupt()))
                self._note_end()

    async def _interrupt(self) -> None:
        if self._context is None:
            async with self._step:  # it begins
                pass
        if self._context is not None:
            self._context.end(KeyboardInterrupt())
            # The end of the process waits for this one, and so for the run.
            await asyncio.wait_for(self._ended.wait(), INTERRUPTED_SECONDS)

    def _note_end(self) -> None:
        self._ended.set()
        bridge.forget(self._present)
        if self._caller is not None:
            bridge.forget(self._caller)


def _called(flow_call: FlowCall, context: RunningFlow) -> CallResult:
    # An interrupt while a block is entered or left must not leave the run behind as the current
    # one: so that is set back here, in one step.
    current = CURRENT.get()
    try:
        with entered(context), bound_run(context.flow_run.id):
            context.check()  # it may have ended before there was a context to tell
            if context.is_doubtful:  # the process may have slept since it took the run
                caller.run(context.confirm)
            return completed(flow_call, context, flow_call.call())
    except BaseException as error:
        return CallResult(error=told_apart(error, context.interrupt))
    finally:
        CURRENT.set(current)


def _wait_as_task(done: threading.Lock) -> None:
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    while not done.acquire(timeout=LOOK_SECONDS):
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError
