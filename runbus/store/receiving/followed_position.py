"""A followed position: where a follower is in a stream that is trimmed, without any I/O.

It begins where the stream ends, unless it is given a place. On each new connection it looks where
the stream ends: a failover may have taken the last entries back, and those that come then would
stand before its place. After a full page it looks whether the entry that it read from is still
there: if it is not, entries after it may have been trimmed before they were read.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from runbus.protocol.entries import numbers_of
from runbus.store.receiving.position import Position, Read
from runbus.store.receiving.read_state import Event
from runbus.store.receiving.recent_entries import BEGINNING

if TYPE_CHECKING:
    from runbus.store.receiving.position import EntryId


class Missed(Enum):
    """What a follower cannot have heard."""

    BEFORE = auto()
    """What came before it began."""
    BETWEEN = auto()
    """What was trimmed, or came while it was not connected."""


class FollowedPosition(Position):
    """Where a follower is in a stream."""

    __slots__ = ("_doubted", "_end_asked_on", "_is_placed", "_missed")

    def __init__(self, name: str, key: str, place: str | None) -> None:
        super().__init__(name, key, BEGINNING if place is None else place)
        self._is_placed = place is not None
        """Whether the cursor is where it is to read on."""
        self._doubted: EntryId | None = None
        self._end_asked_on: object = None
        """The connection on which the read under way asks where the stream ends."""
        self._missed: Missed | None = None

    def take_missed(self) -> Missed | None:
        """Return what may have been missed since this was asked last."""
        missed, self._missed = self._missed, None
        return missed

    def doubted(self, connection: object) -> EntryId | None:
        """Return the place that a full page was read from."""
        doubted, self._doubted = self._doubted, None
        return doubted if self.checked is connection else None

    def note_place(self, connection: object, place: EntryId, *, is_there: bool) -> bool:
        """Take note whether it is still there; it goes on all the same."""
        if not is_there:
            self._missed = Missed.BETWEEN
        return False

    def next_read(self, connection: object) -> Read:
        """Ask where the stream ends, or for what comes next."""
        if self.checked is connection:
            self._end_asked_on = None
            return super().next_read(connection)
        self._end_asked_on = connection
        self.reading = Read(("XREVRANGE", self.key, "+", "-", "COUNT", 1), self.cursor)
        return self.reading

    def take_reply(self, read: Read, reply: Any, /) -> Event:
        """Take where the stream ends, or what comes next."""
        if self._end_asked_on is not None:
            return self._take_end(reply)
        event = super().take_reply(read, reply)
        # Of a page that is not full, nothing can have been trimmed: so much is always kept.
        if event in (Event.FULL, Event.BACKLOG):
            self._doubted = read.cursor
        return event

    def _take_end(self, reply: list[Any]) -> Event:
        end = reply[0][0] if reply else BEGINNING
        self._missed = Missed.BEFORE if self.checked is None else Missed.BETWEEN
        self.reading, self.checked = None, self._end_asked_on
        if not self._is_placed or numbers_of(self.cursor) > numbers_of(end):
            self.cursor = end
        self._is_placed = True
        return Event.PLACED
