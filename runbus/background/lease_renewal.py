"""Renewal: a thread and an event loop that renew the leases of this process, and do nothing else.

So no flow, no validator and no long recovery can hold it up. The tags of one primary are renewed
together and wait for no other primary.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from runbus import settings
from runbus.background.background_loop import new_event_loop
from runbus.errors import RunbusError, ServerUnreachable
from runbus.store.bus import bus_for
from runbus.supervision.duty import Duty
from runbus.supervision.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runbus.settings import Settings
    from runbus.store.bus import Bus
    from runbus.store.maintenance.holdings import Holdings
    from runbus.store.maintenance.lease import Lease

RETRY_SECONDS = 0.25
"""How long to wait after a renewal that failed."""
CLOSE_SECONDS = 2.0
_log = logging.getLogger("runbus")


class Renewal:
    """The renewal of one process's leases on one server. It runs while there is something to do."""

    def __init__(
        self,
        settings: Settings,
        lease: Lease,
        holdings: Holdings,
        *,
        on_round: Callable[[Iterable[str]], None],
        on_idle: Callable[[], None],
    ) -> None:
        """`on_round` hears which tags were renewed; `on_idle`, that nothing is held any more."""
        self._settings = settings
        self._lease = lease
        self._holdings = holdings
        self._on_round = on_round
        self._on_idle = on_idle
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken: asyncio.Event
        self._closing = False
        self._under_way: set[str] = set()
        self._error: Exception | None = None
        self._retry: asyncio.TimerHandle | None = None

    def ensure_runs(self) -> None:
        """Start the thread unless it runs."""
        with self._lock:
            if self._thread is None and not self._closing:
                thread = threading.Thread(target=self._run, name="runbus-lease", daemon=True)
                thread.start()
                self._thread = thread

    def wake(self) -> None:
        """Renew now."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it has just ended
                loop.call_soon_threadsafe(self._woken.set)

    def close(self) -> None:
        """End the thread; the leases are given up."""
        with self._lock:
            self._closing = True
            thread = self._thread
        self.wake()
        if thread is not None:
            thread.join(CLOSE_SECONDS)

    def unreachable(self, seconds: float) -> RunbusError:
        """Return the error for who has waited so long (seconds) for a renewal."""
        if isinstance(self._error, RunbusError):
            return self._error
        cause = self._error or ConnectionError("the leases of this process are not renewed")
        return ServerUnreachable(address="the server", seconds=seconds, cause=cause)

    def _run(self) -> None:
        # Signals are for the main thread.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(self._live())
        finally:
            with self._lock:
                if self._thread is threading.current_thread():  # it has failed
                    self._thread = self._loop = None

    async def _live(self) -> None:
        self._woken, ended = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()
        bus = bus_for(self._settings)
        async with Supervisor() as supervisor:
            work, third = partial(self._work, bus, supervisor, ended), self._lease.seconds / 3
            supervisor.start(Duty("lease renewal", work, interval=third))
            await ended.wait()
        if self._closing and bus.connections():  # else nobody need be told
            with suppress(RunbusError, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS / 2):
                    await self._lease.give_up(bus, self._holdings.recent_tags())

    async def _work(
        self, bus: Bus, supervisor: Supervisor, ended: asyncio.Event, duty: Duty
    ) -> None:
        third, woken = self._lease.seconds / 3, self._woken
        while not self._is_over():
            woken.clear()
            tags = self._holdings.tags()
            self._renew(bus, supervisor, duty, tags)
            if not tags:
                duty.beat()
            self._on_round(())  # of what was held lately, whatever becomes of the renewals
            with suppress(TimeoutError):
                async with asyncio.timeout(third * random.uniform(0.8, 1)):  # noqa: S311
                    await woken.wait()
        ended.set()

    def _is_over(self) -> bool:
        with self._lock:
            held, recent = self._holdings.tags(), self._holdings.recent_tags()
            idle = not held and not (recent and self._settings is settings.in_use)
            if idle or self._closing:
                self._thread = self._loop = None
                self._on_idle()  # under the lock: who needs it from here on starts it anew
            return idle or self._closing

    def _renew(self, bus: Bus, supervisor: Supervisor, duty: Duty, tags: set[str]) -> None:
        groups: dict[str, list[str]] = {}
        for tag in tags:
            key = bus.keys.lease(tag, self._lease.owner.process)
            groups.setdefault(bus.topology.owner(key).server.address, []).append(tag)
        for address, of_primary in groups.items():
            if address not in self._under_way:
                self._under_way.add(address)
                work = partial(self._renew_together, bus, duty, address, of_primary)
                supervisor.spawn(work, "lease renewal")

    async def _renew_together(self, bus: Bus, duty: Duty, address: str, tags: list[str]) -> None:
        try:
            renewed, self._error = await self._lease.renew(bus, tags)
        except RunbusError as error:
            renewed, self._error = [], error
        finally:
            self._under_way.discard(address)
        if self._error is not None:
            if duty.note_failure(self._error):
                _log.warning("leases of this process are not renewed: %s", self._error)
            self._retry_soon()
        elif not self._under_way:
            duty.beat()
        if renewed:
            self._on_round(renewed)

    def _retry_soon(self) -> None:
        # One timer, however many have failed: each round that it begins may fail again.
        if self._retry is not None:
            self._retry.cancel()
        self._retry = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._woken.set)
