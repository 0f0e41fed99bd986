"""The lease holder: what makes and keeps the runs of this process its own, on one server.

It knows which runs are executed here (holdings) and has the leases that cover them; renewal and
upkeep work for it while there is anything to keep. A process without runs asks the server nothing.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import sys
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from runbus import settings
from runbus.background.lease_renewal import Renewal
from runbus.background.upkeep import Upkeep
from runbus.protocol.keys import tag
from runbus.store.connection.backoff import backoff
from runbus.store.maintenance import kept_ends
from runbus.store.maintenance.boot_clock import boot_time
from runbus.store.maintenance.holdings import Holdings
from runbus.store.maintenance.kept_ends import KeptEnd
from runbus.store.maintenance.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from uuid import UUID

    from runbus.protocol.execution import Ending, Owner
    from runbus.settings import Settings
    from runbus.store.bus import Bus
    from runbus.store.maintenance.holdings import Execution

MOST_KEPT_BYTES = 64 * 1024 * 1024
"""How many bytes of ends may be kept before no more runs are claimed."""
EXIT_SECONDS = 5.0
"""For how long an end has been tried at least before a process that ends leaves it unrecorded."""
_log = logging.getLogger("runbus")


class LeaseHolder:
    """The leases, executions and ends of this process on one server."""

    def __init__(self, settings_: Settings) -> None:
        self.settings = settings_
        self._pid = os.getpid()
        self.lease = Lease(settings_.lease_seconds)
        self.holdings = Holdings(settings_.lease_seconds)
        place = (settings_, self.lease, self.holdings)
        self._upkeep = Upkeep(*place, keep_again=self._keep_again)
        self._renewal = Renewal(*place, on_round=self._follow_up, on_idle=self._upkeep.end)

    @property
    def owner(self) -> Owner:
        """Name this process among those that execute runs."""
        return self.lease.owner

    @property
    def is_of_this_process(self) -> bool:
        """Whether this is not what a forked child has inherited: the runs are its parent's."""
        return os.getpid() == self._pid

    @contextmanager
    def intent(self, run_id: UUID) -> Generator[str]:
        """Be about to have a run, in the block; yield the digits of its epoch.

        Before the block ends, the run is executed here (`add`) or given up.
        """
        with self.holdings.intent(run_id) as digits:
            self._ensure_kept()
            yield digits

    def note_granted(self, run_id: UUID, asked_at: float) -> None:
        """Take note that a script that was asked at a (boot) time has given this process a run."""
        holds_more = self.holdings.holds_beside(run_id)
        self.lease.note_granted(tag(run_id), asked_at, holds_more=holds_more)

    def add(self, execution: Execution) -> None:
        """Execute a run, until `discard`."""
        self.holdings.add(execution)
        self._ensure_kept()

    def discard(self, execution: Execution) -> None:
        """Execute a run no more."""
        self.holdings.discard(execution)

    def keep(self, ending: Ending) -> KeptEnd:
        """Have an end that will be recorded, or dropped since the run is another process's."""
        end = KeptEnd(ending=ending)
        self.holdings.keep(end)
        self._ensure_kept()
        return end

    async def record(self, bus: Bus, end: KeptEnd) -> str | None:
        """Record an end that is kept; return the state that the run came into, None if dropped.

        From this event loop, which is the shortest way; where it fails, or takes long (a flow may
        block this loop), in the background, again and again.
        """
        try:
            await kept_ends.try_once(bus, end)
        finally:
            if end.recorded.done():
                self.holdings.settle(end)
            elif not end.is_tried:
                self._upkeep.start_recording(end)
        if end.recorded.done():
            return end.recorded.result()
        return await asyncio.shield(asyncio.wrap_future(end.recorded))

    def is_doubtful(self, run_id: UUID) -> bool:
        """Whether it is not known if a run is still this process's."""
        return self.lease.is_doubtful(tag(run_id))

    async def until_sure(self, run_id: UUID) -> None:
        """Wait until it is known whether a run is still this process's.

        Raises `RunbusError` where that is not known after `retry_seconds`.
        """
        started = boot_time()
        for delay in backoff(longest=0.25):
            if not self.is_doubtful(run_id):
                return
            seconds = boot_time() - started
            if seconds > self.settings.retry_seconds:
                raise self._renewal.unreachable(seconds)
            self._renewal.wake()
            await asyncio.sleep(delay)

    async def reconcile_now(self) -> None:
        """Compare what is held with what the server says; on the background loop."""
        await self._upkeep.reconcile_now(self.holdings.recent_tags())

    @property
    def is_full(self) -> bool:
        """Whether so much is kept that no more runs are to be taken."""
        return sum(end.ending.size for end in self.holdings.kept_ends()) > MOST_KEPT_BYTES

    def unrecorded(self) -> list[KeptEnd]:
        """Wait until each end has been kept for `EXIT_SECONDS`; return those that still are."""
        for end in self.holdings.kept_ends():
            with suppress(TimeoutError, CancelledError):
                end.recorded.result(max(0.0, end.kept_at + EXIT_SECONDS - boot_time()))
        return [end for end in self.holdings.kept_ends() if not end.recorded.done()]

    def close(self) -> None:
        """Give the leases up, and forget what is kept."""
        self._renewal.close()
        self._upkeep.end()

    def _ensure_kept(self) -> None:
        self._renewal.ensure_runs()
        self._upkeep.ensure_runs()

    def _keep_again(self, end: KeptEnd) -> None:
        self._upkeep.start_recording(self.keep(end.ending))

    def _follow_up(self, renewed: Iterable[str]) -> None:
        held = self.holdings.tags()
        self._upkeep.reconcile_soon({*renewed, *(self.holdings.recent_tags() - held)})


_holders: dict[Settings, LeaseHolder] = {}


def current() -> LeaseHolder:
    """Return the lease holder of this process, for the current settings."""
    return of(settings.current())


def of(settings_: Settings) -> LeaseHolder:
    """Return the lease holder of this process, for these settings."""
    holder = _holders.get(settings_)
    if holder is None:
        holder = _holders.setdefault(settings_, LeaseHolder(settings_))
    return holder


def close_all() -> None:
    """Close the lease holders of this process, with whatever they keep."""
    while _holders:
        _, holder = _holders.popitem()
        holder.close()


def say_unrecorded(ends: Iterable[KeptEnd]) -> None:
    """Name the ends that this process could not record, each once."""
    for end in ends:
        if not end.is_named:
            end.is_named = True
            _log.error("%s", end)


@atexit.register
def _end_at_exit() -> None:
    left = [end for holder in _holders.values() for end in holder.unrecorded()]
    say_unrecorded(left)
    close_all()
    if left:
        # The exit code is to say so, and no handler of `atexit` has another way.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


os.register_at_fork(after_in_child=_holders.clear)
