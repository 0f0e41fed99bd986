"""The control stream of a run: what it must be told while it runs, beside inputs and answers.

A process may execute tens of thousands of runs that wait, and each of them listens. So what comes
is told by a call, and no task waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from runbus.errors import RunbusError
from runbus.protocol.entries import fields_by_name
from runbus.store.connection.backoff import backoff
from runbus.store.receiving.position import Position
from runbus.store.receiving.read_state import Event
from runbus.store.receiving.stream_consumer import StreamConsumer
from runbus.supervision import tasks

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from runbus.store.bus import Bus

POLL_SECONDS = 10
LONGEST = 100
_log = logging.getLogger("runbus")


async def signal(bus: Bus, flow_run_id: UUID, name: str, epoch: str = "") -> None:
    """Signal a run to `suspend`, say, in the execution with this epoch, or in any."""
    key, meant = bus.keys.control(flow_run_id), ("epoch", epoch) if epoch else ()
    await bus.commands.together(
        ("XADD", key, "MAXLEN", "~", LONGEST, "*", "word", name, *meant),
        # The run may have ended meanwhile, and then nobody else would see to this.
        ("PEXPIRE", key, bus.lifetime_ms),
    )


class Signals:
    """The signals to one execution of a run, each told as it comes, until `close`.

    It belongs to the event loop of its bus. On each new connection it looks at the run's record: a
    signal may be lost, and the record decides.
    """

    __slots__ = (
        "_epoch",
        "_is_closed",
        "_look",
        "_on_signal",
        "_read_on",
        "_run_id",
        "_stream",
        "bus",
    )
    poll_interval: float = POLL_SECONDS

    def __init__(
        self, bus: Bus, flow_run_id: UUID, epoch: str, on_signal: Callable[[str], None]
    ) -> None:
        """`on_signal` gets the name of each."""
        self.bus = bus
        self._run_id = flow_run_id
        self._epoch = epoch
        self._on_signal = on_signal
        self._is_closed = False
        self._look: asyncio.Task[None] | None = None
        self._stream = StreamConsumer(self, Position("control", bus.keys.control(flow_run_id)))
        self._read_on = self._stream.tracking.connection.live
        self._stream.tracking.start_waiting(self._stream)
        self._stream.handle(Event.WANTED)

    @property
    def waits(self) -> bool:
        """Whether signals are wanted."""
        return not self._is_closed

    def close(self) -> None:
        """Tell no more; once more does no harm."""
        if self._is_closed:
            return
        self._is_closed = True
        self._stream.tracking.stop_waiting(self._stream)
        self._stream.close()
        if self._look is not None:
            self._look.cancel()

    def on_read(self, stream: StreamConsumer[Position]) -> None:
        """Tell what was read."""
        connection, position = stream.tracking.connection.live, stream.position
        if connection is not self._read_on:
            self._read_on = connection
            self._look = tasks.start(self._look_at_record(), self.bus.loop)
        while position.unread:
            _, fields = position.unread[-1]
            position.advance()
            sent = fields_by_name(fields)
            # One without an epoch is for whoever gets it.
            if sent.get("epoch", self._epoch) == self._epoch:
                self._on_signal(sent.get("word", ""))
        stream.handle(Event.WANTED)

    def fail(self, _: StreamConsumer[Position], error: Exception) -> None:
        """Take note that nothing can be read for now."""
        _log.debug("flow run %s is not told anything for now: %s", self._run_id, error)

    async def _look_at_record(self) -> None:
        key = self.bus.keys.run(self._run_id)
        for delay in backoff():
            await asyncio.sleep(delay)
            with suppress(RunbusError):
                found = await self.bus.commands.command("HMGET", key, "state_name", "epoch")
                if found == [b"Cancelling", self._epoch.encode()]:
                    self._on_signal("cancel")
                return
