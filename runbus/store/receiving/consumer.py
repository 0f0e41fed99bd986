"""A consumer: several streams of one run received as one, in order of time."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from runbus.store.connection.connection import settle
from runbus.store.receiving.owner import ReceivingBus
from runbus.store.receiving.position import Position, earliest
from runbus.store.receiving.read_state import Event
from runbus.store.receiving.stream_consumer import StreamConsumer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from runbus.store.connection.connection import Connection

GRACE_SECONDS = 0.5
POLL_SECONDS = 5.0


class MarkingBus(ReceivingBus, Protocol):
    """What a consumer needs of its event loop's bus."""

    def mark_read(self, flow_run_id: UUID, name: str, count: int) -> None:
        """Tell the server how far a stream was read."""
        ...


class Consumer:
    """What one receiver reads. It belongs to the event loop of its bus.

    Entries may also be taken in threads (`next_position`, and its `peek` and `advance`).
    """

    __slots__ = (
        "_futures",
        "_is_cut",
        "_mark_step",
        "_polls",
        "_read_on",
        "bus",
        "flow_run_id",
        "looks_again",
        "marks",
        "poll_interval",
        "streams",
    )

    def __init__(
        self,
        bus: MarkingBus,
        flow_run_id: UUID,
        streams: Mapping[str, str],
        poll_interval: float,
        *,
        marks: bool = True,
        looks_again: bool = False,
    ) -> None:
        """Read streams of a run, each a name and its key; `marks` tells the server how far.

        With `looks_again`, who waits is woken after each new connection, too (`take_cut`).
        """
        self.bus = bus
        self.flow_run_id = flow_run_id
        self.poll_interval = poll_interval
        self.streams = tuple(
            StreamConsumer(self, Position(name, key, remembers=marks))
            for name, key in streams.items()
        )
        self.marks = marks
        """Whether it receives inputs, and tells the server how far."""
        self.looks_again = looks_again
        # One that is made before the first read may lead to a server that lost the question.
        self._read_on: Connection | None = self.streams[0].tracking.connection.live
        self._is_cut = False
        # Tuples, as most are empty or have one: tens of thousands may wait.
        self._futures: tuple[asyncio.Future[bool], ...] = ()
        self._polls: tuple[asyncio.Future[bool], ...] = ()
        # So the limit on unread entries is kept to a sixteenth, at little cost.
        self._mark_step = max(1, bus.settings.max_stream_length // 16)

    def continue_from(self, other: Consumer) -> None:
        """Take over the place of a consumer that belongs to another event loop."""
        for stream, before in zip(self.streams, other.streams, strict=True):
            stream.take_over(before)

    @property
    def positions(self) -> list[Position]:
        """Where it is in each stream."""
        return [stream.position for stream in self.streams]

    @property
    def waits(self) -> bool:
        """Whether anybody waits for an entry now."""
        return bool(self._futures)

    def next_position(self) -> Position | None:
        """Return the position whose entry comes next, None if something has to be read first."""
        if len(self.streams) == 1:
            position = self.streams[0].position
            return position if position.unread else None
        while True:
            with suppress(IndexError):  # a thread took an entry meanwhile
                return earliest(self.positions)

    def taken(self) -> Iterator[tuple[str, bytes, list[bytes]]]:
        """Take all entries that are at hand: the name of the stream, the entry's id and fields."""
        while (position := self.next_position()) is not None:
            entry_id, fields = position.unread[-1]
            position.advance()
            yield position.name, entry_id, fields

    async def wait(self, timeout: float | None) -> bool:
        """Wait until `next_position` has an entry; False when the time (seconds) is over.

        Without time (0), read once whatever is there. Raises `RunbusError` when that cannot be
        read; the next wait tries again.
        """
        if self.next_position() is not None:
            return True
        loop = self.bus.loop
        future: asyncio.Future[bool] = loop.create_future()
        if timeout is None:
            timer = None
        elif timeout == 0:
            timer = loop.call_later(POLL_SECONDS, self._give_up, future, loop.time())
        else:
            timer = loop.call_later(timeout, self._expire, future, loop.time())
        self._begin_wait(future, timeout)
        try:
            return await future
        finally:
            if timer is not None:
                timer.cancel()
            self._end_wait(future)

    def on_read(self, stream: StreamConsumer[Position]) -> None:
        """Take note that a stream was read."""
        if self.next_position() is not None or self._note_connection(stream):
            self._wake(self._futures, True)
        elif self._polls and self._has_read_all():
            self._wake(self._polls, False)
        if self.marks and stream.position.unread:
            self._mark(stream.position)

    def take_cut(self) -> bool:
        """Whether there was a new connection since this was asked last.

        Behind it may be a server that has lost its last writes, other streams' among them.
        """
        found, self._is_cut = self._is_cut, False
        return found

    def _note_connection(self, stream: StreamConsumer[Position]) -> bool:
        if not self.looks_again:
            return False
        before, self._read_on = self._read_on, stream.tracking.connection.live
        is_new = before is not self._read_on
        self._is_cut = self._is_cut or is_new
        return is_new

    def fail(self, _: StreamConsumer[Position], error: Exception) -> None:
        """Raise an error in whoever waits."""
        for future in self._futures:
            settle(future, error)

    def close(self) -> None:
        """Let the bus forget this consumer."""
        for stream in self.streams:
            stream.close()

    def _begin_wait(self, future: asyncio.Future[bool], timeout: float | None) -> None:
        if not self._futures:
            for stream in self.streams:
                stream.tracking.start_waiting(stream)
        self._futures = (*self._futures, future)
        if timeout == 0:
            self._polls = (*self._polls, future)
            for stream in self.streams:
                stream.poll()
            return
        event = Event.BLOCKED if self._is_served(timeout) else Event.WANTED
        for stream in self.streams:
            stream.handle(event)

    def _is_served(self, timeout: float | None) -> bool:
        """Whether a blocking read brings what comes, so that it need not be watched for as well."""
        stream = self.streams[-1]
        blocking_read = stream.tracking.blocking_read
        is_one = len(self.streams) == 1
        return is_one and blocking_read.offer(stream, self.poll_interval, timeout)

    def _end_wait(self, future: asyncio.Future[bool]) -> None:
        self._futures = _without(self._futures, future)
        self._polls = _without(self._polls, future)
        if not self._futures:
            for stream in self.streams:
                stream.tracking.stop_waiting(stream)

    def _expire(self, future: asyncio.Future[bool], since: float) -> None:
        # A short timeout may be over before the first read is back, and then nobody has looked.
        if self._has_read_all():
            settle(future, False)
        else:
            self._polls = (*self._polls, future)
            for stream in self.streams:
                stream.handle(Event.WANTED)
            self.bus.loop.call_later(GRACE_SECONDS, self._give_up, future, since)

    def _give_up(self, future: asyncio.Future[bool], since: float) -> None:
        # While the server does not answer, it is not known that nothing came.
        late = (each for each in self.streams if not each.position.is_caught_up)
        stream = next(late, self.streams[0])
        seconds = self.bus.loop.time() - since
        settle(future, stream.tracking.connection.unreachable(seconds, stream.trouble))

    def _has_read_all(self) -> bool:
        return all(position.is_caught_up for position in self.positions)

    def _wake(self, futures: tuple[asyncio.Future[bool], ...], result: bool) -> None:
        for future in futures:
            settle(future, result)

    def _mark(self, position: Position) -> None:
        if position.mark(self.bus.loop.time(), self._mark_step):
            # Later: whoever waits for the entry comes first.
            mark, count = self.bus.mark_read, position.read_count
            self.bus.loop.call_soon(mark, self.flow_run_id, position.name, count)


def _without(
    futures: tuple[asyncio.Future[bool], ...], future: asyncio.Future[bool]
) -> tuple[asyncio.Future[bool], ...]:
    # Most often it is the only one, or there is none.
    if not futures or futures == (future,):
        return ()
    return tuple(each for each in futures if each is not future)
