"""An execution: one run in this process, from its first state to its last."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from runbus.background import bridge, lease_holder, unreached_children
from runbus.errors import (
    EndNotRecorded,
    FlowInterrupt,
    FlowRunCancelled,
    RunbusError,
    RunLost,
)
from runbus.execution import subflows
from runbus.execution.call import CallResult, Claim, FlowCall
from runbus.execution.current_run import current_flow_run
from runbus.execution.endings import ending_of, retry_ending, words_of
from runbus.execution.listening import Listening
from runbus.execution.log_shipper import shipper
from runbus.execution.print_capture import watch_prints
from runbus.execution.run_context import RunningFlow
from runbus.execution.run_logger import show_on_terminal
from runbus.execution.stored_values import digest_of_secrets, recorded
from runbus.protocol import states
from runbus.protocol.entries import storable
from runbus.store.bus import current_bus
from runbus.store.maintenance.boot_clock import boot_time
from runbus.store.records import logs, runs

if TYPE_CHECKING:
    from collections.abc import Generator

    from runbus.background.lease_holder import LeaseHolder
    from runbus.execution.activity import Activity, Slot
    from runbus.protocol.execution import Ending
    from runbus.protocol.records import FlowRun
    from runbus.store.bus import Bus
    from runbus.store.maintenance.kept_ends import KeptEnd

INTERRUPTED_SECONDS = 3
SLOT_SECONDS = 1.0
"""How long a run that has ended keeps its slot for a server that does not take note of it."""
_FINAL = frozenset(name for name, type_ in states.TYPES.items() if type_ in states.FINAL)
_log = logging.getLogger("runbus.flow_runs")


class Execution:
    """One run being executed in this process: a new one, or one that a worker has claimed."""

    __slots__ = (
        *("_activity", "_bus", "_claim", "_context", "_flow_call", "_holder", "_listening"),
        *("_parameters", "_parent", "_run_id", "_secrets"),
    )

    def __init__(self, flow_call: FlowCall, claim: Claim | None = None) -> None:
        self._flow_call = flow_call
        self._claim = claim
        self._parent = current_flow_run() if claim is None else None
        self._run_id = uuid4() if claim is None else claim.run.id
        self._bus: Bus
        self._holder: LeaseHolder
        self._context: RunningFlow
        # Here, where the flow is called: they have code of their own.
        self._parameters = recorded(flow_call) if claim is None else b""
        parent = self._parent
        self._secrets = "" if parent is None else digest_of_secrets(flow_call, parent.run_id)
        self._activity: Activity | None = None
        self._listening: Listening | None = None

    async def begin(self) -> RunningFlow | CallResult:
        """Record the run as running, and listen to what it is told. Raises `RunLost`.

        A child that completed in an earlier execution of its parent gives its outcome again.
        """
        if self._claim is not None:
            return self.begin_claimed(self._claim)
        self._bus = current_bus()
        self._holder = lease_holder.of(self._bus.settings)
        show_on_terminal()
        if self._parent is None:
            return await self._create()
        self._activity = await self._parent.begin_call()
        try:
            found = await self._child_call(self._parent).find_or_create()
        except BaseException:
            await self._parent.end_call(self._activity)
            raise
        if isinstance(found, RunningFlow):
            return found
        await self._parent.end_call(self._activity)
        return CallResult(value=found.result)

    def _child_call(self, parent: RunningFlow) -> subflows.ChildCall:
        return subflows.ChildCall(
            bus=self._bus,
            parent=parent,
            fields=self._fields(),
            holder=self._holder,
            result_type=self._flow_call.result_type,
            enter=self._enter,
        )

    def begin_claimed(self, claim: Claim) -> RunningFlow:
        """Listen to what a run is told that a worker has claimed."""
        self._bus = current_bus()
        self._holder = claim.holder
        self._activity = claim.slot.activity
        claim.slot.enter_loop()
        return self._enter(claim.run)

    async def _create(self) -> RunningFlow:
        with self._holder.intent(self._run_id) as digits:
            asked_at = boot_time()
            run = await runs.create(
                self._bus, self._run_id, self._fields(), owner=self._holder.owner, digits=digits
            )
            self._holder.note_granted(self._run_id, asked_at)
            return self._enter(run)

    async def begin_again(self, delay: float) -> RunningFlow:
        """Call the flow once more after a delay (seconds), unless the run has to end meanwhile.

        While the server is away or refuses that, the same retry is planned again.
        """
        while True:
            try:
                return await self._begin_after(delay)
            except BaseException as error:
                planned = await self.conclude(CallResult(error=error))
                if planned is None:
                    raise
                delay = planned

    async def _begin_after(self, delay: float) -> RunningFlow:
        async with self._context.waiting():
            await self._context.interruptible(asyncio.sleep(delay))
        run, epoch = self._context.flow_run, self._context.epoch
        found = await runs.move(self._bus, run, "Running", epoch=epoch)
        if found not in {None, "Running", "Paused"}:  # as a failover may have left it
            raise FlowRunCancelled(self._run_id)
        return self._enter(await self._read_again())

    async def _read_again(self) -> FlowRun:
        (flow_run,) = await runs.read_several(self._bus, [self._run_id])
        if flow_run is None or flow_run.epoch != self._context.epoch:
            raise RunLost(self._run_id)
        return flow_run

    def _enter(self, flow_run: FlowRun) -> RunningFlow:
        if self._listening is None:
            does = "begins" if flow_run.run_count <= 1 else "goes on"
            _log.info("%s: a run of %s %s", flow_run.name, flow_run.flow_name, does)
        before = getattr(self, "_context", None) or self._claim or self._parent
        self._run_id = flow_run.id
        context = RunningFlow(
            flow_run=flow_run,
            parameters=self._flow_call.parameters,
            timeout_seconds=self._flow_call.timeout_seconds,
            holder=self._holder,
            loop=self._bus.loop,
            slot=self._slot(),
            activity=self._activity,
            caller=self._parent,
            log_prints=self._logs_prints(),
        )
        self._holder.add(context)
        self._leave()
        self._context = context
        if self._parent is not None:
            self._parent.parts[context] = None
        if before is not None and before.interrupt is not None:
            context.end(before.interrupt)  # it came before there was this one to tell
        self._listening = Listening(context, self._holder.settings)
        return context

    def _leave(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            self._listening = None
            self._holder.discard(self._context)
            if self._parent is not None:
                self._parent.parts.pop(self._context, None)

    async def conclude(self, outcome: CallResult) -> float | None:
        """Record how a call ended. Return the delay (seconds) before it is tried again, or None.

        Until then the run is this process's own, and hears what it is told. An end that cannot be
        recorded is kept, and recorded later; raises `EndNotRecorded` to who called the flow
        directly and has waited for `retry_seconds`.
        """
        await self._ship_lines()
        delay = None
        try:
            delay = await self._record(outcome)
        finally:
            if delay is None:
                if self._parent is not None:
                    self._parent.note_raised(outcome.error)
                self._leave()
                await self._end_activity()
        return delay

    async def _end_activity(self) -> None:
        if self._claim is not None:
            self._claim.slot.close()
        elif self._parent is not None:
            await self._parent.end_call(self._activity)

    async def _ship_lines(self) -> None:
        # Before the end is recorded, on the same connection: who waited for it finds them.
        try:
            await self._ship_what_waits()
        except Exception as error:  # the end must be recorded, whatever its lines have
            _log.warning("lines of %s were not kept: %s", self._context.name, error)

    async def _ship_what_waits(self) -> None:
        if shipper.is_under_way(self._run_id):
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERRUPTED_SECONDS):
                    await bridge.in_background(shipper.ship)
        if lines := shipper.take(self._run_id):
            await logs.tell(self._bus, self._run_id, lines)

    async def _record(self, outcome: CallResult) -> float | None:
        error, retries = outcome.error, self._flow_call.retries
        may_retry = self._context.flow_run.retry < retries and not isinstance(error, RunLost)
        if may_retry and isinstance(error, Exception):
            return await self._plan_retry(error)
        limit = self._bus.settings.max_input_bytes
        ending = ending_of(self._context, outcome, is_claimed=self._claim is not None, limit=limit)
        if ending is None:
            return None
        end = self._holder.keep(ending)
        self._leave()  # what is kept explains why the server says that it executes here
        in_haste = error is not None and not isinstance(error, (Exception, FlowInterrupt))
        with self._closing_slot():
            state = await self._wait_for_record(end, outcome, in_haste=in_haste)
        if state in _FINAL:
            await self._end_called(state)
            self._log_end(ending, state)
        return None

    @contextmanager
    def _closing_slot(self) -> Generator[None]:
        # When its end is recorded, or that takes too long.
        if self._claim is None:
            yield
            return
        close = self._claim.slot.close
        timer = asyncio.get_running_loop().call_later(SLOT_SECONDS, close)
        try:
            yield
        finally:
            timer.cancel()
            close()

    async def _plan_retry(self, error: Exception) -> float | None:
        retry = self._context.flow_run.retry + 1
        end = self._holder.keep(retry_ending(self._context, error, retry))
        state = await self._holder.record(self._bus, end)
        if state != "Pending":  # it was cancelled, or is another's
            if state is not None:
                self._log_end(end.ending, state)
            return None
        delay = self._flow_call.retry_delay_seconds
        _log.warning(
            "%s: %s; retry %d of %d in %g s",
            *(self._context.name, words_of(error), retry, self._flow_call.retries, delay),
        )
        return delay

    async def _end_called(self, state: str) -> None:
        # What it called and did not wait for, here or in an earlier execution.
        for part in tuple(self._context.parts):
            part.end(FlowRunCancelled(part.run_id))
        if self._context.flow_run.run_count > 1 or (
            self._context.children and state != "Completed"
        ):
            how = "Crashed" if state == "Crashed" else "Cancelled"
            with suppress(RunbusError):  # its own end is recorded
                await unreached_children.end_called(self._bus, self._run_id, how)

    async def _wait_for_record(
        self, end: KeptEnd, outcome: CallResult, *, in_haste: bool
    ) -> str | None:
        """Return the state that the run came into, `None` when its end was dropped."""
        recorded = self._holder.record(self._bus, end)
        if self._claim is not None and not in_haste:
            return await recorded  # a worker has nobody who waits
        # Who interrupts does not want to wait for a server that does not answer.
        seconds = INTERRUPTED_SECONDS if in_haste else self._bus.settings.retry_seconds
        try:
            async with asyncio.timeout(seconds):
                return await recorded
        except TimeoutError:
            missing = EndNotRecorded(
                flow_run_id=end.ending.run_id,
                state=end.ending.state,
                seconds=seconds,
                cause=end.trouble,
            )
        if outcome.error is None:
            raise missing
        _log.error("%s", missing)
        return end.ending.state

    def _log_end(self, ending: Ending, state: str) -> None:
        name, told = ending.run_name, f" ({ending.message})" if ending.message else ""
        _log.log(logging.ERROR if ending.message else logging.INFO, "%s: %s%s", name, state, told)

    def _slot(self) -> Slot | None:
        if self._claim is not None:
            return self._claim.slot
        return None if self._parent is None else self._parent.slot

    def _logs_prints(self) -> bool:
        logs, parent = self._flow_call.log_prints, current_flow_run()
        if logs is None:
            logs = parent is not None and parent.log_prints
        if logs:
            watch_prints()
        return logs

    def _fields(self) -> dict[str, str | bytes]:
        parent = self._parent
        return {
            "name": storable(self._flow_call.run_name),
            "flow": self._flow_call.flow_name,
            "parameters": self._parameters,
            **({} if parent is None else {"parent": str(parent.run_id)}),
            **({"secrets": self._secrets} if self._secrets else {}),
        }
