"""A follower: streams that are watched rather than received from, each by itself.

Changes of state, hints and log lines are trimmed, come often, and only tell where to look. So their
streams have no order among them, and none waits for another: one whose server is away is tried
again on its own while the entries of the others are handed out. What a follower cannot have heard
it says (`take_gap`): entries that were trimmed before it read them, and whatever came while it was
not connected. On each new connection it looks where the stream ends, for a failover may have taken
the last entries back, and those that come then would stand before its place.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from runbus.store.connection.connection import settle
from runbus.store.receiving.followed_position import FollowedPosition, Missed
from runbus.store.receiving.read_state import Event
from runbus.store.receiving.stream_consumer import StreamConsumer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runbus.store.receiving.owner import ReceivingBus

FollowedStream = StreamConsumer[FollowedPosition]
LATE_SECONDS = 1.0
"""Who begins to follow misses nothing if every stream's end is found within this time."""

_log = logging.getLogger("runbus")


class Follower:
    """What one follower reads. It belongs to the event loop of its bus, and reads until closed."""

    __slots__ = (
        "_closed",
        "_futures",
        "_has_gap",
        "_ready",
        "_since",
        "_tells_beginning",
        "_troubled",
        "bus",
        "poll_interval",
        "streams",
    )

    def __init__(
        self,
        bus: ReceivingBus,
        streams: Mapping[str, str],
        poll_interval: float,
        *,
        places: Mapping[str, str] | None = None,
        tells_beginning: bool = True,
    ) -> None:
        """Follow streams, each a name and its key, from where they end now.

        Those that have a place, from after the entry with this id. `tells_beginning` makes where
        each begins a gap, after which to look.
        """
        self.bus = bus
        self.poll_interval = poll_interval
        self._closed = False
        self._futures: list[asyncio.Future[bool]] = []
        self._has_gap = False
        self._ready: dict[FollowedStream, None] = {}
        self._since = bus.loop.time()
        self._tells_beginning = tells_beginning
        self._troubled: dict[FollowedStream, Exception] = {}
        given = places or {}
        self.streams = {
            name: StreamConsumer(self, FollowedPosition(name, key, given.get(name)))
            for name, key in streams.items()
        }
        for stream in self.streams.values():
            stream.tracking.start_waiting(stream)
            stream.handle(Event.WANTED)

    @property
    def waits(self) -> bool:
        """Whether it reads on."""
        return not self._closed

    async def wait(self, timeout: float | None) -> bool:
        """Wait until there are entries or a gap; False when the time is over.

        `timeout` is in seconds. Raises `RunbusError` when none of the streams can be read; the next
        wait tries again.
        """
        if self._ready or self._has_gap:
            return True
        future: asyncio.Future[bool] = self.bus.loop.create_future()
        self._futures.append(future)
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            return False
        finally:
            self._futures.remove(future)

    def taken(self) -> Iterator[tuple[str, bytes, list[bytes]]]:
        """Take all entries that are at hand: the name of the stream, the entry's id and fields."""
        while self._ready:
            stream = next(iter(self._ready))
            position = stream.position
            while position.unread:
                entry_id, fields = position.unread[-1]
                position.advance()
                yield position.name, entry_id, fields
            self._ready.pop(stream, None)
            stream.handle(Event.WANTED)

    def take_gap(self) -> bool:
        """Whether something may have been missed since this was asked last."""
        found, self._has_gap = self._has_gap, False
        return found

    def place(self, name: str) -> str:
        """Return the id of the last entry that was read of a stream."""
        cursor = self.streams[name].position.cursor
        return cursor if isinstance(cursor, str) else cursor.decode()

    def close(self) -> None:
        """Read no more, and let the bus forget this follower."""
        self._closed = True
        for stream in self.streams.values():
            stream.tracking.stop_waiting(stream)
            stream.close()

    # What the streams say.

    def on_read(self, stream: FollowedStream) -> None:
        """Take note that a stream was read."""
        self._troubled.pop(stream, None)
        if missed := stream.position.take_missed():
            is_late = self.bus.loop.time() - self._since > LATE_SECONDS
            self._has_gap |= missed is Missed.BETWEEN or self._tells_beginning or is_late
        if stream.position.unread:
            self._ready[stream] = None
        if stream.position.unread or self._has_gap:
            self._wake()

    def fail(self, stream: FollowedStream, error: Exception) -> None:
        """Take note that a stream cannot be read for now; when none can, whoever waits is told."""
        is_news = all(each.tracking is not stream.tracking for each in self._troubled)
        self._troubled[stream] = error
        if len(self._troubled) == len(self.streams):
            self._troubled.clear()
            for future in self._futures:
                settle(future, error)
        elif is_news:
            self.bus.loop.call_soon(self._report, stream, error)

    def _report(self, stream: FollowedStream, error: Exception) -> None:
        if stream in self._troubled:  # by now all may be, and that is an error
            _log.warning("%s is not followed for now: %s", stream.key.decode(), error)

    def _wake(self) -> None:
        for future in self._futures:
            settle(future, True)
