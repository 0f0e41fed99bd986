"""The worker: executes the runs of its deployments in this process, and does its share for all.

What it does for the runs that it executes is done on its own event loop, which async flows share:
hints, sweeps and claims. What must go on whatever a flow does to that loop is done on the
background loop: looking for the dead and for deadlines, and the record that says what is served.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import anyio

from runbus.background import bridge, caller, lease_holder
from runbus.background.caller import in_caller
from runbus.errors import FlowRunHandedBack, RunbusError
from runbus.execution.call import Claim
from runbus.execution.engine import run_async, run_sync
from runbus.execution.run_logger import show_on_terminal
from runbus.protocol.execution import Ending
from runbus.protocol.ids import read_run_id
from runbus.store.bus import Bus, bus_for, current_bus
from runbus.store.connection.connection import settle
from runbus.store.maintenance import deadlines, index_repair, recovery
from runbus.store.records import deployments, runs
from runbus.supervision import tasks
from runbus.supervision.duty import Duty, periodic
from runbus.supervision.supervisor import Supervisor
from runbus.worker.claims import Claims
from runbus.worker.grace import Grace
from runbus.worker.limit import SlotLimit
from runbus.worker.quarantine import Quarantine
from runbus.worker.registration import Registration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from runbus.background.call import BackgroundCall
    from runbus.background.lease_holder import LeaseHolder
    from runbus.execution.activity import Slot
    from runbus.execution.call import FlowCall
    from runbus.protocol.records import FlowRun
    from runbus.store.maintenance.holdings import Execution
    from runbus.worker.deployment import Deployment, Servable

SWEEP_SECONDS = 5.0
"""How often one worker looks for what no hint reached; each of many does so less often."""
SWEEP_PAGE = 20
"""How many runs of each deployment a sweep takes from one tag."""
MANY = 100
"""After a sweep that found so many the next one does not wait, once they have begun."""
GRACE_SECONDS = 30.0
"""How long runs may go on after the first signal."""
HAND_BACK_SECONDS = 3.0
"""How long it may take to hand back those that execute then."""
LAST_WORDS_SECONDS = 2.0
"""How long a worker tells a server that it has ended, and what it gives back."""
_log = logging.getLogger("runbus.flow_runs")


class Worker:
    """Executes the runs of several deployments."""

    def __init__(
        self,
        served: Sequence[Deployment],
        limit: int | None = None,
        grace_seconds: float | None = None,
    ) -> None:
        self.has_ended = False
        """Whether nobody serves by it any more."""
        self.grace = Grace(GRACE_SECONDS if grace_seconds is None else grace_seconds)
        self._served = {deployment.name: deployment for deployment in served}
        self.loop = asyncio.get_running_loop()
        self._bus = current_bus()
        self.holder: LeaseHolder = lease_holder.of(self._bus.settings)
        """By which this process has the runs."""
        self._executing: dict[asyncio.Task[None], tuple[UUID, str]] = {}
        self._stopping = asyncio.Event()
        self._starting = anyio.CancelScope()
        self._is_stopped = False
        self._is_handed_back = False
        shared = SlotLimit(limit, self._use_slot)
        limits = {
            name: SlotLimit(each.limit, self._use_slot) if each.limit else shared
            for name, each in self._served.items()
        }
        self._limits = limits
        lease_seconds = self._bus.settings.lease_seconds
        self._quarantine = Quarantine(lease_seconds, self._wake_claims)
        self._claims = Claims(self._bus, self.holder, limits, self._quarantine, self._begin)
        self._sweep_seconds = min(SWEEP_SECONDS, lease_seconds / 3)
        self._registration = Registration(
            self._bus.settings, self.holder.owner.process, self._served
        )

    async def run(self) -> None:
        """Work until `stop`, then let the runs that execute end, for a grace time.

        Cancelled, it hands back at once what it executes.
        """
        with self._starting:  # a signal ends that, too: the server may be away
            await self._registration.begin()  # first: who reads that they are served may start runs
        show_on_terminal()
        if self._starting.cancelled_caught:
            _log.info("ended before %s was served", ", ".join(self._served))
            return
        _log.info("serving %s", ", ".join(self._served))
        beside = bridge.start(self._serve_all)
        try:
            async with Supervisor() as supervisor:
                for duty in self._duties(supervisor):
                    supervisor.start(duty)
                await self._stopping.wait()
                await self._close_claims()
            await self._end_runs()
        finally:
            await asyncio.shield(self._end(beside))

    def stop(self) -> None:
        """Claim no more runs. Any thread may call it: a run may block the worker's own loop."""
        self._is_stopped = True
        self._claims.stop()
        self.grace.begin()
        self.grace.tell_of_runs(sum(not each.is_waiting for each in self._mine()))
        self._hand_back(waiting=True)
        with suppress(RuntimeError):  # its loop has ended meanwhile
            self.loop.call_soon_threadsafe(self._note_stop)

    def slots(self) -> list[str]:
        """Say of each limit which deployments share it, and how many slots are taken."""
        sharing: dict[SlotLimit, list[str]] = {}
        for name, limit in self._limits.items():
            sharing.setdefault(limit, []).append(name)
        return [f"slots of {', '.join(names)}: {limit}" for limit, names in sharing.items()]

    # What it does.

    def _duties(self, supervisor: Supervisor) -> list[Duty]:
        seconds = self._sweep_seconds
        return [
            Duty("claims", partial(self._claims.work, supervisor), interval=seconds),
            Duty("hints", self._follow_hints, interval=deployments.POLL_SECONDS),
            Duty("sweep", self._sweep, interval=seconds),
        ]

    async def _serve_all(self) -> None:
        # On the background loop. It ends when it is cancelled.
        bus, third = bus_for(self._bus.settings), self._bus.settings.lease_seconds / 3
        async with Supervisor() as supervisor:
            for duty in (
                periodic("recovery", partial(recovery.recover_orphaned_runs, bus), third),
                Duty("deadlines", partial(self._expire, bus), interval=self._sweep_seconds),
                *self._registration.duties(),
                periodic("index repair", index_repair.IndexRepair(bus).step, third),
            ):
                supervisor.start(duty)
            await asyncio.Event().wait()

    async def _expire(self, bus: Bus, duty: Duty) -> None:
        while True:
            await deadlines.expire_overdue(bus)
            # Of many workers each looks less often.
            interval = self._sweep_seconds * self._registration.worker_count
            duty.expect(interval)
            duty.beat()
            await asyncio.sleep(interval)

    async def _follow_hints(self, duty: Duty) -> None:
        hints = deployments.hints(self._bus, list(self._served), on_round=duty.beat)
        async for name, text in hints:
            if (run_id := read_run_id(text)) is not None:  # else somebody's own idea of a hint
                self._claims.offer(run_id, name)

    async def _sweep(self, duty: Duty) -> None:
        while True:
            found = await runs.scheduled(self._bus, self._served, SWEEP_PAGE)
            for run_id, name in found:
                self._claims.offer(run_id, name)
            interval = self._sweep_seconds * self._registration.worker_count
            duty.expect(interval)
            duty.beat()
            if len(found) >= MANY:  # as soon as most of them have begun, there may be more
                self._claims.has_room.clear()
            else:
                await asyncio.sleep(interval)
            with suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self._claims.has_room.wait()

    def _note_stop(self) -> None:
        self._starting.cancel()
        self._stopping.set()

    # What it executes.

    def _begin(self, run: FlowRun, slot: Slot) -> None:
        claim = Claim(run=run, holder=self.holder, slot=slot)
        self._quarantine.begin(self._bus, run, slot)
        self.holder.add(claim)
        work = self._execute(self._served[run.deployment_id or ""].flow, claim)
        task = tasks.start(work)
        self._executing[task] = run.id, run.epoch
        task.add_done_callback(self._executing.pop)

    async def _execute(self, flow: Servable, claim: Claim) -> None:
        try:
            if not flow.is_async:
                await _in_thread(partial(_run_sync, flow, claim), claim.run)
            elif (prepared := await _prepared(flow, claim)) is not None:
                await run_async(prepared, claim)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a task that ends with it would end its loop, or complain
            _log.debug("%s: recorded by the engine: %r", claim.run.name, error)
        finally:
            self._quarantine.end(claim.run_id)
            claim.slot.close()
            self.holder.discard(claim)

    def _use_slot(self) -> None:
        if self._is_stopped:
            self._hand_back(waiting=True)  # one of them has begun to wait, or has ended
        else:
            self._wake_claims()

    def _wake_claims(self) -> None:
        if bridge.running_loop() is self.loop:
            self._claims.wake()
            return
        with suppress(RuntimeError):  # its loop has ended meanwhile
            self.loop.call_soon_threadsafe(self._claims.wake)

    # How it ends.

    def _mine(self) -> list[Execution]:
        executing = set(self._executing.values())
        return [
            each
            for each in self.holder.holdings.executions()
            if (each.run_id, each.epoch) in executing
        ]

    async def _close_claims(self) -> None:
        with suppress(TimeoutError):  # what is claimed all the same is given back at the end
            async with asyncio.timeout(self.grace.left):
                await self._claims.close()

    async def _end_runs(self) -> None:
        async with Supervisor() as supervisor:
            telling = partial(self.grace.tell_of_ends, self.holder.holdings.kept_ends)
            supervisor.spawn(telling, "telling what is waited for")
            self._hand_back(waiting=True)
            await self._wait_for_runs(self.grace.left)
            await self._hand_back_all()

    async def _hand_back_all(self) -> None:
        self._hand_back(waiting=False)
        await self._wait_for_runs(HAND_BACK_SECONDS)
        self._is_handed_back = True

    def _hand_back(self, *, waiting: bool) -> None:
        for execution in self._mine():
            if execution.interrupt is None and (execution.is_waiting or not waiting):
                execution.end(FlowRunHandedBack(execution.run_id))

    async def _wait_for_runs(self, seconds: float) -> None:
        if running := list(self._executing):
            await asyncio.wait(running, timeout=seconds)

    async def _end(self, beside: BackgroundCall[None]) -> None:
        # Cancelled, there was no time of grace: what still executes is handed back now.
        self._is_stopped = True
        self._claims.stop()
        if not self._is_handed_back:
            await self._hand_back_all()
        beside.cancel()
        with suppress(RunbusError, TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self.give_back()

    async def give_back(self) -> None:
        """Let others have what is not interrupted here, and ends with this process; on any loop."""
        for execution in self._mine():
            self.holder.discard(execution)
        await bridge.in_background(self.holder.reconcile_now)  # a claim may have been cancelled
        await self._registration.end()


async def _prepared(flow: Servable, claim: Claim) -> FlowCall | None:
    # In the flow's own thread, or on its loop: to validate the parameters may take a while.
    run = claim.run
    prepare = partial(flow.prepare_stored, run.parameters, run.name)
    try:
        return await in_caller(prepare)
    except Exception as error:  # of a validator's own code, too
        ending = Ending(
            run_id=run.id,
            run_name=run.name,
            epoch=run.epoch,
            deployment=run.deployment_id,
            state="Failed",
            message=f"{type(error).__name__}: {error}"[:500],
        )
        if await claim.holder.record(current_bus(), claim.holder.keep(ending)) is not None:
            _log.error("%s: Failed (%s)", run.name, ending.message)
        return None


def _run_sync(flow: Servable, claim: Claim) -> None:
    prepared = caller.run(partial(_prepared, flow, claim))
    if prepared is not None:
        run_sync(prepared, claim)


async def _in_thread(work: Callable[[], None], run: FlowRun) -> None:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def call() -> None:
        try:
            work()
        except BaseException as error:
            _log.debug("%s: recorded by the engine: %r", run.name, error)
        with suppress(RuntimeError):  # the worker's loop has ended meanwhile
            loop.call_soon_threadsafe(settle, done, None)

    threading.Thread(target=call, name=f"runbus-{run.id}", daemon=True).start()
    await done
