"""A stream consumer: does the I/O for one receiver's position in one stream.

What to do, and when, the position and its table say (`position`, `read_state`). This sends the
questions on the connection that tracks, gives the replies back, and keeps the timers.
"""

from __future__ import annotations

import logging
import os
import random
from contextlib import suppress
from functools import partial
from sys import intern
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from hiredis import ReplyError

from runbus.errors import RunbusError
from runbus.store.connection.connection import ConnectionLost, is_transient
from runbus.store.connection.counters import counts
from runbus.store.connection.error_replies import refused
from runbus.store.connection.hash_slots import hash_tag
from runbus.store.receiving.position import Position
from runbus.store.receiving.read_state import Action, Event
from runbus.supervision import tasks

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from runbus.store.connection.connection import Connection
    from runbus.store.receiving.owner import Owner
    from runbus.store.receiving.position import EntryId, Read
    from runbus.store.receiving.tracking import KeyTracking

RETRY_SECONDS = 0.2
REST_SECONDS = 1.0
"""How long a stream that cannot be read is left alone."""

# Held while what was read changes: its place may move to another loop's consumer at any moment.
_changing = Lock()
os.register_at_fork(
    before=_changing.acquire, after_in_parent=_changing.release, after_in_child=_changing.release
)
_log = logging.getLogger("runbus")
P = TypeVar("P", bound=Position)


class StreamConsumer(Generic[P]):
    """Reads one stream."""

    __slots__ = (
        "_beside",
        "_elsewhere",
        "beside_key",
        "owner",
        "position",
        "tag",
        "tracking",
        "trouble",
    )

    def __init__(self, owner: Owner, position: P) -> None:
        self.owner: Owner = owner
        self.position = position
        self.tag = intern(hash_tag(position.key.decode()))
        """The hash tag of its key."""
        self.tracking = owner.bus.trackings.of(position.key)
        """What wakes it: that of the server which has its stream."""
        self.trouble: ReplyError | None = None
        """What the server said to the last read, if it could not be done yet."""
        self.beside_key: str | None = None
        """A hash that tells what news on the stream mean, to be read together with them."""
        self._beside: Any = None
        self._elsewhere: asyncio.Task[None] | None = None
        self.tracking.add(self)

    @property
    def key(self) -> bytes:
        """The key of its stream."""
        return self.position.key

    @property
    def poll_interval(self) -> float:
        """How long (seconds) a lost connection may go unnoticed, at most."""
        return self.owner.poll_interval

    def take_beside(self) -> Any:
        """Return the hash as it was after the last news, None when it has to be read."""
        beside, self._beside = self._beside, None
        return beside

    def take_over(self, before: StreamConsumer[P]) -> None:
        """Go on from where a consumer of another event loop is, which reads no more."""
        with _changing:
            self.position.take_over(before.position)

    # What happens.

    def handle(self, event: Event) -> None:
        """Do what is to be done after an event."""
        for action in self.position.handle(event, self._is_awaited):
            self._DO[action](self)

    def poll(self) -> None:
        """Find out what there is by now, unless entries are at hand."""
        if not self.position.unread:
            self.handle(Event.POLLED)

    def change(self) -> None:
        """Take note that the stream may have changed."""
        served = self.tracking.blocking_read.serves(self)
        self.handle(self.position.changed(perf_counter(), self._is_awaited, is_served=served))

    def disarm(self) -> None:
        """Take note that the connection is gone, and with it what the server was to tell."""
        self.position.reading = None
        self.handle(Event.LOST)

    def move(self, tracking: KeyTracking) -> None:
        """Go over to the server that has the stream now."""
        waits = self.owner.waits
        if waits:
            self.tracking.stop_waiting(self)
        self.tracking.discard(self)
        self.tracking, self.position.reading = tracking, None
        tracking.add(self)
        if waits:
            tracking.start_waiting(self)
        self.handle(Event.MOVED)

    def fail(self, error: Exception) -> None:
        """Give up reading for now: whoever waits for it is told why."""
        self.owner.fail(self, error)

    def accept(self, read: Read, reply: Any) -> None:
        """Take entries that a blocking read brought, if they are news."""
        with _changing:
            is_news = self.position.take_brought(read, reply, self.tracking.connection.live)
        if is_news:
            self.handle(Event.BROUGHT)

    def close(self) -> None:
        """Stop listening to changes."""
        self.tracking.discard(self)

    def _is_awaited(self) -> bool:
        return self.owner.waits and self.tracking.connection.live is not None

    # What is done.

    def _read(self) -> None:
        connection, position = self.tracking.connection.live, self.position
        if connection is None:  # it went a moment ago; on the next, it is read again
            self.disarm()
            return
        place = position.doubted(connection)
        if place is not None:
            command = ("XREVRANGE", self.key, place, place)
            connection.send(command, partial(self._on_place, connection, place))
        read = position.next_read(connection)
        connection.send(read.command, partial(self._on_reply, read))
        self._beside = None
        if self.beside_key is not None and position.notified_at:
            connection.send(("HGETALL", self.beside_key), self._on_beside)

    def _tell(self) -> None:
        position = self.position
        if position.notified_at and position.unread:
            counts.wakes.add(perf_counter() - position.notified_at)
        position.notified_at = 0.0
        self.trouble = None
        self.owner.on_read(self)

    def _hold(self) -> None:
        is_served = self.tracking.blocking_read.serves(self)
        self._set_timer(self.position.hold_seconds(is_served=is_served))

    def _retry(self) -> None:
        self._set_timer(RETRY_SECONDS)

    def _rest(self) -> None:
        self._set_timer(REST_SECONDS)

    def _set_timer(self, most: float) -> None:
        self.tracking.call_later(random.uniform(0.5, 1) * most, self.handle, Event.RESTED)  # noqa: S311

    def _go_elsewhere(self) -> None:
        work = self._ask_elsewhere(self.position.reading)
        self._elsewhere = tasks.start(work, self.owner.bus.loop)

    async def _ask_elsewhere(self, read: Read | None, /) -> None:
        """Read a stream that is on its way to another server, which tells nobody of it yet."""
        if read is not None:
            with suppress(RunbusError):  # the next time may have more luck
                self._on_reply(read, await self.owner.bus.commands.command(*read.command))
        self._retry()

    # What is answered.

    def _on_place(self, connection: Connection, place: EntryId, reply: Any) -> None:
        if isinstance(reply, Exception) or connection is not self.tracking.connection.live:
            return  # the next read looks again
        with _changing:
            goes_back = self.position.note_place(connection, place, is_there=bool(reply))
        if goes_back:
            _log.warning("%s has lost its last entries; reading again", self.key.decode())

    def _on_reply(self, read: Read, reply: Any) -> None:
        if read is not self.position.reading:
            return  # the stream has moved since, or the connection was lost
        if isinstance(reply, ReplyError):
            self._on_error(read, reply)
        elif isinstance(reply, ConnectionLost):
            self.disarm()
        else:
            with _changing:
                event = self.position.take_reply(read, reply)
            self.handle(event)

    def _on_beside(self, reply: Any) -> None:
        self._beside = None if isinstance(reply, Exception) else reply

    def _on_error(self, read: Read, error: ReplyError) -> None:
        bus, connection = self.owner.bus, self.tracking.connection
        if not is_transient(error):
            self._deny(refused(connection.server.address, error, ("XREAD", "STREAMS", self.key)))
            return
        self.tracking.note_redirect(error)
        if read is not self.position.reading:
            return  # the redirect was heeded at once, and it is read there
        if str(error).startswith("ASK"):
            self.handle(Event.REDIRECTED)
            return
        now = bus.loop.time()
        if self.position.refused(now, bus.settings.retry_seconds):
            self._deny(connection.unreachable(now - self.position.refused_since, error))
        else:
            self.trouble = error
            self.handle(Event.REFUSED)

    def _deny(self, error: RunbusError) -> None:
        self.position.refused_since, self.trouble = 0.0, None  # who waits again is patient again
        self.handle(Event.DENIED)
        self.fail(error)

    _DO: ClassVar[dict[Action, Callable[[Any], None]]] = {
        Action.READ: _read,
        Action.TELL: _tell,
        Action.HOLD: _hold,
        Action.RETRY: _retry,
        Action.REST: _rest,
        Action.ASK_ELSEWHERE: _go_elsewhere,
    }
