"""The engine: takes a flow's code from its first state to its last.

Both kinds of flow go through the same steps, `Execution.begin` and `Execution.conclude`; only the
call between them differs, as one is awaited and the other blocks its thread.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydantic_core import to_json

from runbus import bridge
from runbus.context import FlowRunContext, bound_run, current_flow_run
from runbus.errors import FlowRunCancelled, NotSerializable, RunbusError
from runbus.logging import show_on_terminal
from runbus.protocol.values import encode
from runbus.store import bus, runs
from runbus.store.control import Control

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runbus.store.bus import Bus

INTERRUPTED_SECONDS = 3
_log = logging.getLogger("runbus.flow_runs")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be run, and how."""

    flow_name: str
    run_name: str
    call: Callable[[], Any]
    """Calls the flow's function with its parameters; an async one gives a coroutine."""
    parameters: Mapping[str, Any]
    retries: int
    retry_delay_seconds: float
    timeout_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a call of the flow's function ended."""

    value: Any = None
    error: BaseException | None = None

    def result(self) -> Any:
        """Return the value or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


class Execution:
    """One run being executed in this process."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._run_id = uuid4()
        self._retry = 0
        self._bus: Bus
        self._ear: asyncio.Task[None] | None = None

    async def begin(self) -> FlowRunContext:
        """Record the run as running, and listen to what it is told."""
        self._bus = bus.current()
        if self._retry:
            await runs.move(self._bus, self._run_id, "Running")
        else:
            show_on_terminal()
            await runs.create(self._bus, self._run_id, "Running", self._fields())
            _log.info("%s: a run of %s begins", self._plan.run_name, self._plan.flow_name)
        context = FlowRunContext(
            flow_run=await runs.read(self._bus, self._run_id),
            parameters=self._plan.parameters,
            retry=self._retry,
            timeout_seconds=self._plan.timeout_seconds,
        )
        self._ear = asyncio.get_running_loop().create_task(self._listen(context))
        return context

    async def conclude(self, outcome: Outcome) -> float | None:
        """Record how a call ended. Return the delay (seconds) before it is tried again, or None."""
        if self._ear is not None:
            self._ear.cancel()
        error = outcome.error
        if error is None:
            await self._end("Completed", result=self._storable(outcome.value))
        elif isinstance(error, FlowRunCancelled):
            await self._end("Cancelled")
        elif not isinstance(error, Exception):
            await self._end_in_haste(f"interrupted by {type(error).__name__}")
        elif self._retry < self._plan.retries:
            return await self._plan_retry(error)
        else:
            await self._end("Failed", _words(error))
        return None

    async def _plan_retry(self, error: Exception) -> float | None:
        refused_by = await runs.move(self._bus, self._run_id, "Scheduled", _words(error))
        if refused_by is not None:  # it is being cancelled
            await self._end("Cancelled")
            return None
        self._retry += 1
        delay = self._plan.retry_delay_seconds
        _log.warning(
            "%s: %s; retry %d of %d in %g s",
            *(self._plan.run_name, _words(error), self._retry, self._plan.retries, delay),
        )
        return delay

    async def _end(self, state: str, message: str = "", result: bytes = b"") -> None:
        refused_by = await runs.move(self._bus, self._run_id, state, message, result)
        name, told = self._plan.run_name, f" ({message})" if message else ""
        if refused_by is None:
            _log.log(logging.ERROR if message else logging.INFO, "%s: %s%s", name, state, told)
        else:
            _log.error("%s: %s%s, but was %s already", name, state, told, refused_by)

    async def _end_in_haste(self, message: str) -> None:
        # Who interrupts does not want to wait for a server that does not answer.
        with suppress(TimeoutError, RunbusError):
            async with asyncio.timeout(INTERRUPTED_SECONDS):
                await self._end("Crashed", message)

    async def _listen(self, context: FlowRunContext) -> None:
        async for word in Control(self._bus, self._run_id).words():
            if word == "cancel":
                context.cancel()

    def _fields(self) -> dict[str, str | bytes]:
        parent = current_flow_run()
        return {
            "name": self._plan.run_name,
            "flow": self._plan.flow_name,
            "parameters": to_json(self._plan.parameters, fallback=repr),
            **({} if parent is None else {"parent": str(parent.flow_run.id)}),
        }

    def _storable(self, value: Any) -> bytes:
        try:
            data = encode(value)
        except NotSerializable:
            return b""
        return data if len(data) <= self._bus.settings.max_input_bytes else b""


async def run_async(plan: Plan) -> Any:
    """Run an async flow, in the task that awaits this."""
    execution = Execution(plan)
    while True:
        context = await execution.begin()
        outcome = await _awaited(plan, context)
        delay = await execution.conclude(outcome)
        if delay is None:
            return outcome.result()
        await asyncio.sleep(delay)


def run_sync(plan: Plan) -> Any:
    """Run a sync flow: in this thread, or in one of its own if an event loop runs in this one."""
    if bridge.on_loop():
        return _in_own_thread(partial(run_sync, plan))
    execution = Execution(plan)
    while True:
        context = bridge.run(execution.begin)
        outcome = _called(plan, context)
        delay = bridge.run(partial(execution.conclude, outcome))
        if delay is None:
            return outcome.result()
        time.sleep(delay)


async def _awaited(plan: Plan, context: FlowRunContext) -> Outcome:
    async def body() -> Any:
        async with bound_run(context.flow_run.id):
            return await plan.call()

    try:
        with context.entered():
            return Outcome(value=await context.interruptible(body()))
    except BaseException as error:
        return Outcome(error=error)


def _called(plan: Plan, context: FlowRunContext) -> Outcome:
    try:
        with context.entered(), bound_run(context.flow_run.id):
            return Outcome(value=plan.call())
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

    thread = threading.Thread(target=copy_context().run, args=(call,), name="runbus-flow")
    thread.start()
    thread.join()
    return outcome.result()


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".split("\n", 1)[0][:500]
