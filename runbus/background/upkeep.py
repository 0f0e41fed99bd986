"""Upkeep: what follows the renewal of the leases, on the background loop.

Reconciliation compares, after each renewal, what the server says that this process executes with
what it does; and the ends of runs are tried until they are recorded.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from runbus.background import bridge
from runbus.background.background_loop import background
from runbus.store.bus import bus_for
from runbus.store.maintenance import wire_recheck
from runbus.store.maintenance.boot_clock import boot_time
from runbus.store.maintenance.kept_ends import KeptEnd, record
from runbus.store.maintenance.reconciliation import Reconciliation
from runbus.supervision.duty import Duty, periodic
from runbus.supervision.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runbus.background.call import BackgroundCall
    from runbus.settings import Settings
    from runbus.store.bus import Bus
    from runbus.store.maintenance.holdings import Holdings
    from runbus.store.maintenance.lease import Lease

OWN_TRY_SECONDS = 0.5
"""How long an end is left to the loop on which its run ended, which a flow may block."""


class Upkeep:
    """The upkeep of one process's runs on one server. It runs while they are renewed."""

    def __init__(
        self,
        settings: Settings,
        lease: Lease,
        holdings: Holdings,
        *,
        keep_again: Callable[[KeptEnd], object],
    ) -> None:
        self._settings = settings
        self._lease = lease
        self._holdings = holdings
        self._keep_again = keep_again
        self._lock = threading.Lock()
        self._life: BackgroundCall[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._supervisor: Supervisor | None = None
        self._woken = asyncio.Event()
        self._to_reconcile: set[str] = set()
        self._to_record: list[KeptEnd] = []

    def ensure_runs(self) -> None:
        """Start the upkeep unless it runs."""
        with self._lock:
            loop = background.loop
            if self._life is None or self._loop is not loop:
                self._loop, self._life = loop, bridge.start(self._live)

    def end(self) -> None:
        """End it until it is needed again."""
        with self._lock:
            life, self._life = self._life, None
        if life is not None:
            with suppress(RuntimeError):  # with its loop
                life.cancel()

    def reconcile_soon(self, tags: Iterable[str]) -> None:
        """Compare what is held of these tags."""
        self._call(lambda: (self._to_reconcile.update(tags), self._woken.set()))

    def start_recording(self, end: KeptEnd) -> None:
        """Try until an end is recorded."""
        end.is_tried = True
        self.ensure_runs()
        self._call(partial(self._record_soon, end))

    def _call(self, step: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the background loop has ended
            background.loop.call_soon_threadsafe(step)

    async def _live(self) -> None:
        self._woken = asyncio.Event()
        if self._to_reconcile:  # from before it began
            self._woken.set()
        bus, supervisor = bus_for(self._settings), Supervisor()
        try:
            async with supervisor:
                self._supervisor = supervisor
                third = self._lease.seconds / 3
                work = partial(self._reconcile, bus)
                supervisor.start(Duty("reconciliation", work, interval=third))
                supervisor.start(
                    periodic("wire check", partial(wire_recheck.check_again, bus), third)
                )
                supervisor.start(periodic("kept ends", self._take_up, OWN_TRY_SECONDS))
                waiting, self._to_record = self._to_record, []
                for end in waiting:
                    self._record_soon(end)
                await asyncio.Event().wait()  # until it is cancelled
        finally:
            if self._supervisor is supervisor:  # else it has begun anew meanwhile
                self._supervisor = None

    async def _take_up(self) -> None:
        self._holdings.drop_abandoned()
        before = boot_time() - OWN_TRY_SECONDS
        for end in self._holdings.kept_ends():
            if not end.is_tried and end.kept_at < before:
                end.is_tried = True
                self._record_soon(end)

    def _record_soon(self, end: KeptEnd) -> None:
        if self._supervisor is None or self._supervisor.is_ending:
            self._to_record.append(end)
        else:
            self._supervisor.spawn(partial(self._record, end), "an end's record")

    async def _record(self, end: KeptEnd) -> None:
        try:
            await record(bus_for(self._settings), end)
        finally:
            if end.recorded.done():
                self._holdings.settle(end)
            else:
                self._record_soon(end)  # where it goes on

    async def _reconcile(self, bus: Bus, duty: Duty) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            tags, self._to_reconcile = self._to_reconcile, set()
            try:
                await self._reconcile_tags(bus, tags)
            except BaseException:
                self._to_reconcile |= tags
                raise
            duty.beat()

    async def reconcile_now(self, tags: set[str]) -> None:
        """Compare what is held of these tags, on the background loop."""
        await self._reconcile_tags(bus_for(self._settings), tags)

    async def _reconcile_tags(self, bus: Bus, tags: set[str]) -> None:
        began_at = boot_time()
        reconciliation = Reconciliation(
            bus=bus,
            process=self._lease.owner.process,
            holdings=self._holdings,
            keep_again=self._keep_again,
        )
        for tag in await reconciliation.compare(tags):
            self._lease.note_reconciled(tag, began_at)
