"""The end of a run, waited for: one read arms the server to tell of it, and the record decides.

What is watched is the hash of how the run's executions ended. It changes when one of them ends or
leaves its process and at nothing else, so neither the run's inputs nor its changes of state wake
who waits. It says `final` once the run has ended: what came before it was watched is not missed.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from hiredis import ReplyError

from runbus.store.connection.connection import LinkLost, settle
from runbus.store.receiving.stream_consumer import RETRY_SECONDS, Arm, Tail
from runbus.store.records import runs

if TYPE_CHECKING:
    from uuid import UUID

    from runbus.protocol.records import FlowRun
    from runbus.store.bus import Bus
    from runbus.store.receiving.tracking import Watch

SHORTEST_POLL_SECONDS = 0.1


async def wait_for_end(
    bus: Bus, flow_run_id: UUID, poll_interval: float, known: FlowRun | None = None
) -> FlowRun:
    """Wait until a run has ended, and return it. `known` is what was just read of it.

    It is looked at when one of its executions has ended, after whatever may have hidden that, and
    every `poll_interval` seconds. Raises `RunMissing`, also when its record is lost later.
    """
    with closing(_Waiter(bus, flow_run_id, max(SHORTEST_POLL_SECONDS, poll_interval))) as waiter:
        while True:
            run = await runs.read(bus, flow_run_id) if known is None else known
            if run.state.is_final():
                return run
            known = None
            await waiter.change()


class _Waiter:
    """One who waits for the end of a run. It belongs to the event loop of its bus."""

    __slots__ = ("_changed", "_tail", "bus", "marks", "poll_interval")

    def __init__(self, bus: Bus, flow_run_id: UUID, poll_interval: float) -> None:
        self.bus = bus
        self.marks = False
        self.poll_interval = poll_interval
        self._changed: asyncio.Future[None] = bus.loop.create_future()
        key = bus.keys.ends(flow_run_id)
        self._tail = _EndsTail(self, bus.topology.watch(key), "ends", key)
        self._tail.watch.start_waiting(self._tail)

    @property
    def waits(self) -> bool:
        """Whether it wants to know of changes: until it is closed."""
        return True

    async def change(self) -> None:
        """Wait until the run may have ended. Raises `RunbusError` when that cannot be known."""
        self._tail.read()
        timer = self.bus.loop.call_later(self.poll_interval, self.note_change)
        try:
            await self._changed
        finally:
            timer.cancel()
            self._changed = self.bus.loop.create_future()

    def note_change(self) -> None:
        """Take note that the run may have ended."""
        settle(self._changed, None)

    def hear(self, _: Tail) -> None:
        """Do nothing: it reads no entries."""

    def fail(self, error: Exception) -> None:
        """Raise an error in who waits."""
        settle(self._changed, error)

    def close(self) -> None:
        """Wait no more."""
        self._tail.watch.stop_waiting(self._tail)
        self._tail.close()


class _EndsTail(Tail):
    """The hash of a run's ends, read only to be told when it changes."""

    __slots__ = ("_waiter",)

    def __init__(self, waiter: _Waiter, watch: Watch, name: str, key: str) -> None:
        super().__init__(waiter, watch, name, key)
        self._waiter = waiter

    def change(self) -> None:
        """Have the run looked at, which then is watched again."""
        if self.arm is not Arm.READING:
            self.arm = Arm.UNKNOWN
        self._waiter.note_change()

    def _ask(self) -> None:
        link = self.watch.channel.link
        if link is not None:  # else the watch tells once it is connected
            self.arm, self._asked_again = Arm.READING, False
            link.send(("HGET", self.key, "final"), partial(self._hear_final, self.watch))

    def _hear_final(self, watch: Watch, reply: Any) -> None:
        if watch is not self.watch:
            return  # it has moved since, and is read there
        self.arm = Arm.UNKNOWN
        if isinstance(reply, LinkLost):
            pass  # the watch tells once it is connected
        elif isinstance(reply, ReplyError):
            self._hear_error(reply)
        elif reply is not None:
            self._waiter.note_change()
        elif self._asked_again:
            self._ask()
        else:
            self.arm = Arm.ARMED

    async def _read_where_it_goes(self, cursor: bytes | str) -> None:
        # Its slot is on its way to another server: the record is found, wherever it is.
        await asyncio.sleep(RETRY_SECONDS)
        self._waiter.note_change()
