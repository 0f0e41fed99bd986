"""The worker: claims the runs of its deployments and executes them in this process."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic_core import to_json

from runbus import bridge, caller
from runbus.caller import in_caller
from runbus.engine import run_async, run_sync
from runbus.errors import (
    FlowInterrupt,
    FlowRunHandedBack,
    InvalidArgument,
    RunbusError,
    RunLost,
)
from runbus.logging import show_on_terminal
from runbus.places import SlotLimit
from runbus.plan import Claim
from runbus.solitude import Solitude
from runbus.stop_signals import stopped_by_signals
from runbus.store import bus, deadlines, deployments, recovery, runs, turns, workers
from runbus.store.link import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runbus.flow_run_context import Slot
    from runbus.flows import Flow
    from runbus.plan import Plan
    from runbus.protocol.records import FlowRun
    from runbus.store.lease import Lease

SWEEP_SECONDS = 5.0
GRACE_SECONDS = 30.0
HAND_BACK_SECONDS = 3.0
_log = logging.getLogger("runbus.flow_runs")


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A flow under a name by which others can start it."""

    flow: Flow[..., Any]
    name: str
    """`flow/deployment`."""
    limit: int | None = None
    """How many of its runs execute at once in one worker."""

    def fields(self) -> dict[str, str | bytes]:
        """Return what is stored of it."""
        return {
            "flow": self.flow.name,
            "description": self.flow.description or "",
            "parameters": to_json(self.flow.parameters_schema()),
        }


class Worker:
    """Executes the runs of several deployments."""

    def __init__(
        self,
        served: Sequence[Deployment],
        limit: int | None = None,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._grace_seconds = grace_seconds
        self._served = {deployment.name: deployment for deployment in served}
        self._limit = limit
        self._executing: dict[UUID, asyncio.Future[Any]] = {}
        self._turned_away: dict[UUID, None] = {}
        self._claims: set[asyncio.Task[None]] = set()
        self._claiming = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._lease: Lease
        self._stopping = asyncio.Event()
        self._is_stopped = False

    async def run(self) -> None:
        """Work until `stop`, then let the runs that execute end, for a grace time."""
        here = bus.current()
        shared = SlotLimit(self._limit, self._use_slot)
        self._limits = {
            name: SlotLimit(each.limit, self._use_slot) if each.limit else shared
            for name, each in self._served.items()
        }
        self._solitude = Solitude(here.settings.lease_seconds, self._claim_all)
        self._lease = await bridge.in_background(_held_lease)
        await self._register(here)  # first: who reads that they are served may start runs
        show_on_terminal()
        _log.info("serving %s", ", ".join(self._served))
        duties = [
            asyncio.create_task(duty) for duty in (self._follow_hints(here), self._sweep(here))
        ]
        await self._stopping.wait()
        for duty in duties:
            duty.cancel()
        await self._end_runs()
        with suppress(RunbusError):
            await workers.forget(here, self._lease.process)

    def stop(self) -> None:
        """Claim no more runs. Any thread may call it: a run may block the worker's own loop."""
        self._is_stopped = True
        if self._executing:
            self._hand_back(waiting=True)
        with suppress(RuntimeError):  # its loop has ended meanwhile
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def _end_runs(self) -> None:
        self._hand_back(waiting=True)
        await self._wait_for_runs(self._grace_seconds)
        self._hand_back(waiting=False)
        await self._wait_for_runs(HAND_BACK_SECONDS)

    def _hand_back(self, *, waiting: bool) -> None:
        for holder in self._lease.holders():
            is_told = holder.interrupt is not None or holder.run_id not in self._executing
            if not is_told and (holder.is_waiting or not waiting):
                holder.end(FlowRunHandedBack(holder.run_id))

    async def _wait_for_runs(self, seconds: float) -> None:
        if running := list(self._executing.values()):
            await asyncio.wait(running, timeout=seconds)

    async def _follow_hints(self, here: bus.Bus) -> None:
        async for text in deployments.hints(here, list(self._served)):
            with suppress(ValueError):  # somebody's own idea of a hint
                await self._claim(here, UUID(text))

    async def _sweep(self, here: bus.Bus) -> None:
        seconds = min(SWEEP_SECONDS, here.settings.lease_seconds / 3)
        is_first = True  # what was hinted at before it came, no hint tells it
        while True:
            try:
                await self._register(here)
                await deadlines.expire_overdue(here, seconds)
                await recovery.take_from_the_dead(here, seconds)
                if await self._has_turn(here, seconds) or is_first:
                    for run_id in await runs.scheduled(here):
                        await self._claim(here, run_id)
                is_first = False
            except RunbusError as error:
                _log.warning("the worker could not look for runs: %s", error)
            await asyncio.sleep(seconds)

    async def _has_turn(self, here: bus.Bus, seconds: float) -> bool:
        # Of any of its deployments: others may serve others.
        taken = [await turns.take(here, f"sweep:{name}", seconds) for name in self._served]
        return any(taken)

    async def _register(self, here: bus.Bus) -> None:
        for name, deployment in self._served.items():
            await deployments.register(here, name, deployment.fields())
        described = {"host": socket.gethostname(), "pid": os.getpid()}
        served = {"deployments": to_json(sorted(self._served))}
        await workers.register(here, self._lease.process, {**described, **served})

    async def _claim(self, here: bus.Bus, run_id: UUID) -> None:
        if run_id in self._executing:
            return
        async with self._claiming:  # one after the other: a run may have to be alone
            run = (await runs.read_several(here, [run_id]))[0]
            deployment = self._served.get(run.deployment_id or "") if run is not None else None
            if run is None or deployment is None or run.state.name != "Scheduled":
                self._solitude.forget(run_id)
                return
            is_allowed = self._solitude.allows(run)
            slot = self._limits[deployment.name].try_slot() if is_allowed else None
            if slot is None:
                self._turned_away[run_id] = None
                return
            await self._take(here, deployment, run, slot)

    async def _take(self, here: bus.Bus, deployment: Deployment, run: FlowRun, slot: Slot) -> None:
        await bridge.in_background(_held_lease)
        claimed = await runs.claim(here, run.id, self._lease.process, self._served)
        if claimed is None:
            slot.close()
            return
        claim = Claim(run=claimed, lease=self._lease, slot=slot)
        work = self._execute(here, deployment, claim)
        task = self._executing[run.id] = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._executing.pop(run.id, None))

    def _use_slot(self) -> None:
        if self._is_stopped:
            self._hand_back(waiting=True)  # one of them has begun to wait, or has ended
        else:
            self._loop.call_soon_threadsafe(self._claim_next)

    def _claim_all(self) -> None:
        for _ in range(len(self._turned_away)):
            self._claim_next()

    def _claim_next(self) -> None:
        # Whoever else has claimed it meanwhile, the claim says so.
        run_id = self._solitude.first_of(self._turned_away)
        if run_id is not None and not self._stopping.is_set():
            del self._turned_away[run_id]
            claim = asyncio.create_task(self._claim(bus.current(), run_id))
            self._claims.add(claim)
            claim.add_done_callback(self._claims.discard)

    async def _execute(self, here: bus.Bus, deployment: Deployment, claim: Claim) -> None:
        flow, run = deployment.flow, claim.run
        try:
            with self._solitude.entered(here, run, claim):
                plan = partial(flow.plan, (), dict(run.parameters), run.name)
                if not flow.is_async:
                    await _in_thread(partial(_run_sync, plan, claim), run)
                elif (planned := await _planned(here, plan, run)) is not None:
                    await run_async(planned, claim)
        except (Exception, FlowInterrupt, SystemExit, KeyboardInterrupt) as error:
            _log.debug("%s: recorded by the engine: %r", run.name, error)
        finally:
            claim.slot.close()


async def _planned(here: bus.Bus, plan: Callable[[], Plan], run: FlowRun) -> Plan | None:
    # In the flow's own thread, or on its loop: to validate the parameters may take a while.
    try:
        return await in_caller(plan)
    except Exception as error:  # of a validator's own code, too
        message = f"{type(error).__name__}: {error}"[:500]
        with suppress(RunLost):
            if await runs.move(here, run.id, "Failed", message, epoch=run.epoch) is None:
                _log.error("%s: Failed (%s)", run.name, message)
        return None


def _run_sync(plan: Callable[[], Plan], claim: Claim) -> None:
    planned = caller.run(lambda: _planned(bus.current(), plan, claim.run))
    if planned is not None:
        run_sync(planned, claim)


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


async def _held_lease() -> Lease:
    lease = bus.current().lease
    await lease.hold()
    return lease


async def aserve(*served: Deployment, limit: int | None = None) -> None:
    """Execute the runs of deployments until Ctrl-C, SIGTERM or cancellation."""
    _check(served, limit)
    worker = Worker(served, limit)
    from runbus.monitoring import monitored  # late: it imports an HTTP server

    with stopped_by_signals(worker.stop), monitored():
        await worker.run()


def _check(served: tuple[Deployment, ...], limit: int | None) -> None:
    if not served:
        raise InvalidArgument("deployments", served, "pass at least one: some_flow.to_deployment()")
    names: set[str] = set()
    for each in served:
        if not isinstance(each, Deployment):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument("deployments", each, "pass some_flow.to_deployment(name)")
        if each.name in names:
            raise InvalidArgument("deployments", each.name, "two flows have this name: change one")
        names.add(each.name)
        _check_limit(each.limit)
    _check_limit(limit)


def _check_limit(limit: object) -> None:
    is_count = isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1
    if limit is not None and not is_count:
        raise InvalidArgument("limit", limit, "pass 1 or more, or None")


def serve(*served: Deployment, limit: int | None = None) -> Any:
    """Execute the runs of deployments until Ctrl-C or SIGTERM. See `Flow.serve`."""
    if bridge.on_loop():
        return bridge.Pending("serve()", lambda: aserve(*served, limit=limit))
    with asyncio.Runner(loop_factory=bridge.new_event_loop) as runner:
        runner.run(aserve(*served, limit=limit))
    return bridge.Finished()
