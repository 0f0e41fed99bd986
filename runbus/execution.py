"""An execution: one run in this process, from its first state to its last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydantic_core import to_json

from runbus import bridge, children
from runbus.errors import (
    FlowRunCancelled,
    FlowRunHandedBack,
    FlowRunSuspended,
    NotSerializable,
    RunbusError,
    RunLost,
)
from runbus.flow_run_context import FlowRunContext, current_flow_run
from runbus.log_shipper import shipper
from runbus.logging import show_on_terminal
from runbus.plan import Claim, Outcome, Plan
from runbus.prints import watch_prints
from runbus.protocol.values import encode
from runbus.store import bus, child_runs, runs
from runbus.store.control import Control

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future as ThreadFuture

    from runbus.flow_run_context import Activity, Slot
    from runbus.protocol.records import FlowRun
    from runbus.store.bus import Bus
    from runbus.store.lease import Lease

INTERRUPTED_SECONDS = 3
LEAVES_PROCESS = (FlowRunSuspended, FlowRunHandedBack, RunLost)
_log = logging.getLogger("runbus.flow_runs")


class Execution:
    """One run being executed in this process: a new one, or one that a worker has claimed."""

    def __init__(self, plan: Plan, claim: Claim | None = None) -> None:
        self._plan = plan
        self._claim = claim
        self._parent = current_flow_run() if claim is None else None
        self._run_id = uuid4() if claim is None else claim.run.id
        self._bus: Bus
        self._lease: Lease
        self._context: FlowRunContext
        # Here, where the flow is called: they have code of their own.
        self._parameters = _recorded(plan.parameters) if claim is None else b""
        self._activity: Activity | None = None
        self._ear: ThreadFuture[None] | None = None

    async def begin(self) -> FlowRunContext | Outcome:
        """Record the run as running, and listen to what it is told. Raises `RunLost`.

        A child that completed in an earlier execution of its parent gives its outcome again.
        """
        self._bus = bus.current()
        if self._claim is not None:
            self._lease = self._claim.lease
            self._activity = self._claim.slot.activity
            self._claim.slot.enter_loop()
            return self._enter(self._claim.run)
        self._lease = await bridge.in_background(_lease)
        show_on_terminal()
        if self._parent is None:
            return self._enter(await self._create())
        self._activity = await self._parent.begin_call()
        try:
            found = await self._find_or_create(self._parent)
        except BaseException:
            await self._parent.end_call(self._activity)
            raise
        self._run_id = found.run.id
        if not found.has_completed:
            return self._enter(found.run)
        await self._parent.end_call(self._activity)
        return Outcome(value=found.result)

    async def _create(self) -> FlowRun:
        process = self._lease.process
        return await runs.create(self._bus, self._run_id, self._fields(), owner=process)

    async def _find_or_create(self, parent: FlowRunContext) -> children.Found:
        process, fields, result_type = self._lease.process, self._fields(), self._plan.result_type
        return await children.find_or_create(self._bus, parent, fields, process, result_type)

    async def begin_again(self, delay: float) -> FlowRunContext:
        """Call the flow once more after a delay (seconds), unless the run has to end meanwhile."""
        try:
            async with self._context.waiting():
                await self._context.interruptible(asyncio.sleep(delay))
            if await self._move("Running") is not None:
                raise FlowRunCancelled(self._run_id)
            return self._enter(await self._read_again())
        except BaseException as error:
            await self.conclude(Outcome(error=error))
            raise

    async def _read_again(self) -> FlowRun:
        flow_run = await runs.read(self._bus, self._run_id)
        if flow_run.epoch != self._context.epoch:
            raise RunLost(self._run_id)
        return flow_run

    def _enter(self, flow_run: FlowRun) -> FlowRunContext:
        if self._ear is None:
            does = "begins" if flow_run.run_count <= 1 else "goes on"
            _log.info("%s: a run of %s %s", flow_run.name, flow_run.flow_name, does)
        self._leave()
        self._context = FlowRunContext(
            flow_run=flow_run,
            parameters=self._plan.parameters,
            timeout_seconds=self._plan.timeout_seconds,
            lease=self._lease,
            slot=self._slot(),
            activity=self._activity,
            caller=self._parent,
            log_prints=self._logs_prints(),
        )
        self._lease.add(self._context)
        if self._parent is not None:
            self._parent.parts.add(self._context)
        self._ear = bridge.start(partial(self._listen, self._context))
        return self._context

    def _leave(self) -> None:
        if self._ear is not None:
            self._ear.cancel()
            self._ear = None
            self._lease.discard(self._context)
            if self._parent is not None:
                self._parent.parts.discard(self._context)

    async def conclude(self, outcome: Outcome) -> float | None:
        """Record how a call ended. Return the delay (seconds) before it is tried again, or None.

        Until then the run is this process's own, and hears what it is told.
        """
        if shipper.has_lines:
            await self._ship_lines()
        delay = None
        try:
            delay = await self._record(outcome)
        except RunLost as lost:
            _log.warning("%s: %s", self._plan.run_name, lost)
        finally:
            if delay is None:
                self._leave()
                await self._end_activity()
        return delay

    async def _end_activity(self) -> None:
        if self._claim is not None:
            self._claim.slot.close()
        elif self._parent is not None:
            await self._parent.end_call(self._activity)

    async def _ship_lines(self) -> None:
        # Before the end is recorded, so that who waited for it finds them.
        with suppress(TimeoutError):
            async with asyncio.timeout(INTERRUPTED_SECONDS):
                await bridge.in_background(shipper.ship)

    async def _record(self, outcome: Outcome) -> float | None:
        error = outcome.error
        if error is None:
            fits = len(outcome.data) <= self._bus.settings.max_input_bytes
            data = outcome.data if fits else b""
            await self._end("Completed", result=data, exact=outcome.is_exact)
        elif self._parent is not None and isinstance(error, LEAVES_PROCESS):
            await self._leave_to_parent(error)
        elif isinstance(error, FlowRunCancelled):
            await self._end("Cancelled")
        elif isinstance(error, FlowRunSuspended):
            await self._let_go("Suspended")
        elif isinstance(error, (FlowRunHandedBack, RunLost)):
            await self._hand_back(error)
        elif not isinstance(error, Exception):
            await self._end_in_haste(f"interrupted by {type(error).__name__}")
        elif self._context.flow_run.retry < self._plan.retries:
            return await self._plan_retry(error)
        else:
            await self._end("Failed", _words(error))
        return None

    async def _plan_retry(self, error: Exception) -> float | None:
        retry = self._context.flow_run.retry + 1
        refused_by = await self._move("Pending", _words(error), retry=retry)
        if refused_by is not None:
            await self._end("Cancelled" if refused_by == "Cancelling" else "Failed", _words(error))
            return None
        delay = self._plan.retry_delay_seconds
        _log.warning(
            "%s: %s; retry %d of %d in %g s",
            *(self._plan.run_name, _words(error), retry, self._plan.retries, delay),
        )
        return delay

    async def _hand_back(self, error: FlowRunHandedBack | RunLost) -> None:
        # Of a run whose lease is overdue, maybe nobody has taken it yet: it has not failed.
        if isinstance(error, RunLost) and self._claim is None:
            await self._end("Crashed", _words(error))
        else:
            await self._let_go("Scheduled")

    async def _leave_to_parent(self, error: BaseException) -> None:
        # Which goes on with it elsewhere; until then its question may be answered.
        if not isinstance(error, RunLost):
            await self._let_go("Pending", "waits until its parent goes on")

    async def _let_go(self, state: str, message: str = "") -> None:
        if self._context.has_left:
            return
        if await self._move(state, message, release=True) == "Cancelling":
            await self._end("Cancelled")

    async def _end(
        self, state: str, message: str = "", result: bytes = b"", *, exact: bool = False
    ) -> None:
        refused_by = await self._move(state, message, result, exact=exact)
        await self._end_called(state)
        name, told = self._plan.run_name, f" ({message})" if message else ""
        if refused_by is None or refused_by == state:  # who cancels ends it, where it may
            _log.log(logging.ERROR if message else logging.INFO, "%s: %s%s", name, state, told)
        else:
            _log.error("%s: %s%s, but was %s already", name, state, told, refused_by)

    async def _end_called(self, state: str) -> None:
        # What it called and did not wait for, here or in an earlier execution.
        for part in tuple(self._context.parts):
            part.end(FlowRunCancelled(part.run_id))
        if self._context.flow_run.run_count > 1 or (
            self._context.children and state != "Completed"
        ):
            how = "Crashed" if state == "Crashed" else "Cancelled"
            with suppress(RunbusError):  # its own end is recorded
                await child_runs.end_called(self._bus, self._run_id, how)

    async def _move(self, state: str, *details: Any, **options: Any) -> str | None:
        epoch = self._context.epoch
        return await runs.move(self._bus, self._run_id, state, *details, epoch=epoch, **options)

    async def _end_in_haste(self, message: str) -> None:
        # Who interrupts does not want to wait for a server that does not answer.
        with suppress(TimeoutError, RunbusError):
            async with asyncio.timeout(INTERRUPTED_SECONDS):
                await self._end("Crashed", message)

    async def _listen(self, context: FlowRunContext) -> None:
        # On the background loop: the flow may block its own for minutes.
        async for word in Control(bus.current(), self._run_id).words(context.epoch):
            if word == "cancel":
                context.end(FlowRunCancelled(self._run_id))
            elif word == "suspend":
                context.end(FlowRunSuspended(self._run_id))

    def _slot(self) -> Slot | None:
        if self._claim is not None:
            return self._claim.slot
        return None if self._parent is None else self._parent.slot

    def _logs_prints(self) -> bool:
        logs, parent = self._plan.log_prints, current_flow_run()
        if logs is None:
            logs = parent is not None and parent.log_prints
        if logs:
            watch_prints()
        return logs

    def _fields(self) -> dict[str, str | bytes]:
        parent = self._parent
        return {
            "name": self._plan.run_name,
            "flow": self._plan.flow_name,
            "parameters": self._parameters,
            **({} if parent is None else {"parent": str(parent.run_id)}),
        }


def completed(plan: Plan, context: FlowRunContext, value: Any) -> Outcome:
    """Return the outcome of a call that returned a value. Raises what the value's own code raises.

    It is made where the flow's code runs, before the run's end is recorded.
    """
    data = _storable(value)
    exact = context.caller is not None and children.is_exact(value, data, plan.result_type)
    return Outcome(value=value, data=data, is_exact=exact)


def _storable(value: Any) -> bytes:
    if isinstance(value, Iterator):
        return b""  # to read it would leave nothing for the caller
    try:
        return encode(value)
    except NotSerializable:
        return b""


async def _lease() -> Lease:
    lease = bus.current().lease
    await lease.hold()
    return lease


def _recorded(parameters: Mapping[str, Any]) -> bytes:
    # What can be read only once, the flow reads.
    readable = {
        name: _kind(value) if isinstance(value, Iterator) else value
        for name, value in parameters.items()
    }
    try:
        return to_json(readable, bytes_mode="base64", fallback=repr)
    except Exception:  # of something that contains itself, say: the flow can do without a record
        return to_json({name: _kind(value) for name, value in parameters.items()})


def _kind(value: Any) -> str:
    return f"<{type(value).__name__}>"


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".split("\n", 1)[0][:500]
