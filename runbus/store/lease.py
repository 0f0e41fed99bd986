"""The lease of a process: as long as it is renewed, the process keeps the runs that it executes.

One key for each process, however many runs it has. It is renewed on the background loop, which no
flow's code can block. Time is counted on a clock that goes on while the machine or the process
sleeps; who finds its lease overdue asks which of its runs it still has before it goes on.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from runbus.errors import RunbusError, RunLost
from runbus.store import recovery, runs
from runbus.store.clock import boot_time
from runbus.store.counts import counts

if TYPE_CHECKING:
    from collections.abc import Generator
    from uuid import UUID

    from runbus.store.bus import Bus

END_SECONDS = 1
_log = logging.getLogger("runbus")


class Holder(Protocol):
    """A run that is executed under the lease."""

    @property
    def run_id(self) -> UUID: ...
    @property
    def epoch(self) -> int: ...
    @property
    def is_waiting(self) -> bool: ...
    @property
    def interrupt(self) -> BaseException | None: ...
    def end(self, interrupt: BaseException) -> None: ...


class Lease:
    """One process's lease on one server."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._seconds = bus.settings.lease_seconds
        self._holders: set[Holder] = set()
        self._renewed_at = -1e9
        self._renewing: asyncio.Task[None] | None = None
        self.process = secrets.token_hex(8)
        """The name of this process among those that execute runs."""

    @property
    def is_overdue(self) -> bool:
        """Whether others may have taken over the runs of this process."""
        return boot_time() - self._renewed_at > self._seconds

    async def hold(self) -> str:
        """Have a lease before a run begins; return the name of this process."""
        if self._renewing is None or self._renewing.done():
            await self.renew()
            self._ensure_kept()
        return self.process

    def holders(self) -> list[Holder]:
        """Return the runs that are executed under the lease."""
        return list(self._holders)

    def add(self, holder: Holder) -> None:
        """Tell this run when it is lost."""
        self._holders.add(holder)
        self._bus.loop.call_soon_threadsafe(self._ensure_kept)

    def discard(self, holder: Holder) -> None:
        """Forget a run that has ended."""
        self._holders.discard(holder)

    async def end(self) -> None:
        """Give the lease up, so that others need not wait for its end to take what is left."""
        if self._renewing is None:
            return
        self._renewing.cancel()
        self._renewing = None
        with suppress(RunbusError, TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._bus.requests.command("DEL", self._bus.keys.lease(self.process))

    async def _keep(self) -> None:
        # It ends when nobody needs it any more: an idle process asks the server nothing.
        while True:
            with _told("runs of the dead were not looked for"):
                await recovery.take_from_the_dead(self._bus, self._seconds / 3)
            await asyncio.sleep(self._seconds / 3)
            if not self._holders:
                return
            with _told("the lease of this process was not renewed"):
                await self.renew()

    def _ensure_kept(self) -> None:
        if self._renewing is None or self._renewing.done():
            self._renewing = self._bus.loop.create_task(self._keep())

    async def renew(self) -> None:
        """Renew the lease; if it was overdue, tell those runs that are lost."""
        asked_at = boot_time()
        was_overdue = self.is_overdue
        key, lifetime_ms = self._bus.keys.lease(self.process), int(self._seconds * 1000)
        await self._bus.requests.command("SET", key, lifetime_ms, "PX", lifetime_ms)
        if was_overdue:
            await self._find_lost()
        self._renewed_at = asked_at

    async def _find_lost(self) -> None:
        held = list(self._holders)
        if not held:
            return
        found = await runs.read_several(self._bus, [holder.run_id for holder in held])
        for holder, run in zip(held, found, strict=True):
            if run is None or run.epoch != holder.epoch or run.state.is_final():
                counts.runs_lost += 1
                holder.end(RunLost(holder.run_id))


@contextmanager
def _told(trouble: str) -> Generator[None]:
    try:
        yield
    except RunbusError as error:
        _log.warning("%s: %s", trouble, error)
