"""The end of a run, waited for: one read arms the server to tell of it, and the record decides.

What is watched is the hash of how the run's executions ended. It changes when one of them ends or
leaves its process and at nothing else, so neither the run's inputs nor its changes of state wake
who waits. It says `final` once the run has ended: what came before it was watched is not missed.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, Any

from runbus.errors import RunExpired, RunMissing
from runbus.store.connection.connection import settle
from runbus.store.maintenance import owners
from runbus.store.maintenance.boot_clock import boot_time
from runbus.store.receiving.position import Position, Read
from runbus.store.receiving.read_state import Event
from runbus.store.receiving.stream_consumer import RETRY_SECONDS, StreamConsumer
from runbus.store.records import runs

if TYPE_CHECKING:
    from uuid import UUID

    from runbus.protocol.records import FlowRun
    from runbus.store.bus import Bus

SHORTEST_POLL_SECONDS = 0.1


async def wait_for_end(
    bus: Bus, flow_run_id: UUID, poll_interval: float, known: FlowRun | None = None
) -> FlowRun:
    """Wait until a run has ended, and return it. `known` is what was just read of it.

    It is looked at when one of its executions has ended, after whatever may have hidden that, and
    every `poll_interval` seconds, or every third of a lease: no worker looks after a run that was
    called directly, so who waits for it does. Raises `RunMissing`, also when its record is lost
    later, and `RunExpired` where it may have ended and expired since the last look.
    """
    poll_interval = min(poll_interval, bus.settings.lease_seconds / 3)
    with closing(_Waiter(bus, flow_run_id, max(SHORTEST_POLL_SECONDS, poll_interval))) as waiter:
        seen = boot_time()
        while True:
            looked = boot_time()
            run = await _read(bus, flow_run_id, seen) if known is None else known
            seen = looked
            if run.state.is_final():
                return run
            known = None
            await owners.check(bus, [run])
            await waiter.change()


async def _read(bus: Bus, flow_run_id: UUID, seen: float) -> FlowRun:
    try:
        return await runs.read(bus, flow_run_id)
    except RunMissing:
        if boot_time() - seen < bus.settings.retention_seconds:
            raise
        raise RunExpired(flow_run_id) from None


class _Waiter:
    """One who waits for the end of a run. It belongs to the event loop of its bus."""

    __slots__ = ("_changed", "_stream", "bus", "poll_interval")

    def __init__(self, bus: Bus, flow_run_id: UUID, poll_interval: float) -> None:
        self.bus = bus
        self.poll_interval = poll_interval
        self._changed: asyncio.Future[None] = bus.loop.create_future()
        key = bus.keys.ends(flow_run_id)
        self._stream = _EndsStream(self, key)
        self._stream.tracking.start_waiting(self._stream)

    @property
    def waits(self) -> bool:
        """Whether it wants to know of changes: until it is closed."""
        return True

    async def change(self) -> None:
        """Wait until the run may have ended. Raises `RunbusError` when that cannot be known."""
        self._stream.poll()
        timer = self.bus.loop.call_later(self.poll_interval, self.note_change)
        try:
            await self._changed
        finally:
            timer.cancel()
            self._changed = self.bus.loop.create_future()

    def note_change(self) -> None:
        """Take note that the run may have ended."""
        settle(self._changed, None)

    def on_read(self, stream: StreamConsumer[_EndsPosition]) -> None:
        """Have the run looked at once the hash says that it has ended."""
        if stream.position.is_final:
            self.note_change()

    def fail(self, _: StreamConsumer[_EndsPosition], error: Exception) -> None:
        """Raise an error in who waits."""
        settle(self._changed, error)

    def close(self) -> None:
        """Wait no more."""
        self._stream.tracking.stop_waiting(self._stream)
        self._stream.close()


class _EndsPosition(Position):
    """The hash of a run's ends, read only to be told when it changes."""

    __slots__ = ("is_final",)

    def next_read(self, connection: object) -> Read:
        """Ask whether the run has ended."""
        self.checked, self.reading = connection, Read(("HGET", self.key, "final"), self.cursor)
        return self.reading

    def take_reply(self, _: Read, reply: Any, /) -> Event:
        """Take the answer."""
        self.reading, self.is_final = None, reply is not None
        return Event.SOME if self.is_final else Event.NOTHING


class _EndsStream(StreamConsumer[_EndsPosition]):
    """Watches that hash."""

    __slots__ = ("_waiter",)

    def __init__(self, waiter: _Waiter, key: str) -> None:
        super().__init__(waiter, _EndsPosition("ends", key))
        self._waiter = waiter

    def change(self) -> None:
        """Have the run looked at, which then is watched again."""
        self.position.handle(Event.CHANGED, lambda: False)
        self._waiter.note_change()

    async def _ask_elsewhere(self, _: Read | None, /) -> None:
        # Its slot is on its way to another server: the record is found, wherever it is.
        await asyncio.sleep(RETRY_SECONDS)
        self._waiter.note_change()
