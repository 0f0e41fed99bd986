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
import random
from functools import partial
from typing import TYPE_CHECKING, Any

from hiredis import ReplyError

from runbus.errors import RunbusError
from runbus.protocol.entries import numbers_of
from runbus.store.connection.connection import ConnectionLost, settle
from runbus.store.receiving.recent_entries import BEGINNING
from runbus.store.receiving.stream_consumer import Arm, StreamConsumer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runbus.store.connection.connection import Connection
    from runbus.store.receiving.stream_consumer import ReceivingBus
    from runbus.store.receiving.tracking import KeyTracking

LATE_SECONDS = 1.0
"""Who begins to follow misses nothing if every stream's end is found within this time."""
REST_SECONDS = 1.0
"""How long a stream that cannot be read is left alone."""

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
        "marks",
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
        self.marks = False
        self._closed = False
        self._futures: list[asyncio.Future[bool]] = []
        self._has_gap = False
        self._ready: dict[StreamConsumer, None] = {}
        self._since = bus.loop.time()
        self._tells_beginning = tells_beginning
        self._troubled: dict[StreamConsumer, Exception] = {}
        given = places or {}
        self.streams = {
            name: FollowedStream(self, name, key, given.get(name)) for name, key in streams.items()
        }
        for stream in self.streams.values():
            stream.tracking.start_waiting(stream)
            stream.read()

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
            while stream.unread:
                entry_id, fields = stream.unread[-1]
                stream.advance()
                yield stream.name, entry_id, fields
            self._ready.pop(stream, None)
            stream.read_if_awaited()

    def take_gap(self) -> bool:
        """Whether something may have been missed since this was asked last."""
        found, self._has_gap = self._has_gap, False
        return found

    def place(self, name: str) -> str:
        """Return the id of the last entry that was read of a stream."""
        cursor = self.streams[name].cursor
        return cursor if isinstance(cursor, str) else cursor.decode()

    def close(self) -> None:
        """Read no more, and let the bus forget this follower."""
        self._closed = True
        for stream in self.streams.values():
            stream.tracking.stop_waiting(stream)
            stream.close()

    # What the streams say.

    def on_read(self, stream: StreamConsumer) -> None:
        """Take note that a stream was read."""
        self._troubled.pop(stream, None)
        if stream.unread:
            self._ready[stream] = None
            self._wake()

    def note_place(self, *, is_first: bool) -> None:
        """Take note that a stream knows where it is, for the first time or once more."""
        is_late = self.bus.loop.time() - self._since > LATE_SECONDS
        if self._tells_beginning or is_late or not is_first:
            self._has_gap = True
            self._wake()

    def note_trouble(self, stream: FollowedStream, error: Exception) -> None:
        """Take note that a stream cannot be read for now; when none can, whoever waits is told."""
        is_news = all(each.tracking is not stream.tracking for each in self._troubled)
        self._troubled[stream] = error
        if len(self._troubled) == len(self.streams):
            self._troubled.clear()
            self.fail(error)
        elif is_news:
            self.bus.loop.call_soon(self._report, stream, error)

    def _report(self, stream: StreamConsumer, error: Exception) -> None:
        if stream in self._troubled:  # by now all may be, and that is an error
            _log.warning("%s is not followed for now: %s", stream.key.decode(), error)

    def fail(self, error: Exception) -> None:
        """Raise an error in whoever waits."""
        for future in self._futures:
            settle(future, error)

    def _wake(self) -> None:
        for future in self._futures:
            settle(future, True)


class FollowedStream(StreamConsumer):
    """The entries of one stream that is followed."""

    __slots__ = ("_follower", "_is_placed")

    def __init__(self, follower: Follower, name: str, key: str, place: str | None) -> None:
        super().__init__(follower, name, key)
        self._follower = follower
        self._is_placed = place is not None
        """Whether the cursor is where it is to read on."""
        self.cursor = BEGINNING if place is None else place

    def fail(self, error: Exception) -> None:
        """Give up reading for now, and try again in a while."""
        self._follower.note_trouble(self, error)
        rest = random.uniform(0.5, 1) * REST_SECONDS  # noqa: S311
        self.tracking.call_later(rest, self.change)

    def _ask(self) -> None:
        connection = self.tracking.connection.live
        if connection is None or connection is self.checked:
            super()._ask()
            return
        self.arm, self._asked_again = Arm.READING, False
        connection.send(self._question(), partial(self._on_newest, self.tracking, connection))

    def _question(self) -> tuple[str | bytes | int, ...]:
        return ("XREVRANGE", self.key, "+", "-", "COUNT", 1)

    def _on_newest(self, tracking: KeyTracking, connection: Connection, reply: Any) -> None:
        if tracking is not self.tracking:
            return  # it has moved since, and reads there
        self.arm = Arm.UNKNOWN
        if isinstance(reply, ReplyError):
            self._on_error(reply)
        elif not isinstance(reply, ConnectionLost):  # else it asks again on the next
            self._find_place(connection, reply)
            self._ask()

    def _find_place(self, connection: Connection | None, newest: list[Any]) -> None:
        end = newest[0][0] if newest else BEGINNING
        is_first, self.checked = self.checked is None, connection
        if not self._is_placed or numbers_of(self.cursor) > numbers_of(end):
            self.cursor = end
        self._is_placed = True
        self._follower.note_place(is_first=is_first)

    async def _read_where_it_goes(self, cursor: bytes | str) -> None:
        connection = self.tracking.connection.live
        if self.checked is not connection:
            try:
                self._find_place(
                    connection, await self.owner.bus.commands.command(*self._question())
                )
            except RunbusError as error:
                self.fail(error)
                return
            cursor = self.cursor
        await super()._read_where_it_goes(cursor)

    def _on_entries(self, entries: list[Any]) -> None:
        connection = self.tracking.connection.live
        # Of a page that is not full, nothing can have been trimmed: so much is always kept.
        if len(entries) == self.page and connection is not None:
            place = ("XREVRANGE", self.key, self.cursor, self.cursor)
            connection.send(place, self._on_old_place)
        super()._on_entries(entries)

    def _on_old_place(self, reply: Any) -> None:
        if not isinstance(reply, Exception) and not reply:
            self._follower.note_place(is_first=False)
