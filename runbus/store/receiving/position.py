"""A position: where one receiver is in one stream, without any I/O.

It says what to ask next, takes what was answered, and keeps the state of reading (`read_state`).
It reads in pages whose size follows the size of the entries, and hands these out one by one. In a
backlog the next page is asked for when one has come, so that the server works while the entries of
that one are handed out. On each new connection it first looks whether the last entry that it read
is still there: a failover may have lost it, and then it goes back (see `recent_entries`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbus.protocol.entries import Entry, read_entry
from runbus.store.connection.counters import counts
from runbus.store.receiving.read_state import (
    CAUGHT_UP,
    TRANSITIONS,
    UNDER_WAY,
    Action,
    Actions,
    Event,
    State,
)
from runbus.store.receiving.recent_entries import BEGINNING, RecentEntries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Command = tuple[str | bytes | int, ...]
EntryId = bytes | str

FIRST_PAGE = 32
LARGEST_PAGE = 512
PAGE_BYTES = 512 * 1024
# How many inputs are remembered in case that a failover loses some.
RECENT_INPUTS = 1024
# Who has received so many inputs one by one is taken to be in a conversation.
CONVERSATION = 3
# How long after a push the entries may still come by a blocking read.
BLOCKING_READ_SECONDS = 0.004
# A key that keeps changing without new entries is read less often each time, down to the longest.
REREAD_SECONDS = 0.005
LONGEST_REREAD_SECONDS = 0.1
MARK_SECONDS = 1.0
_UNKNOWN, _READING, _READ = State.UNKNOWN, State.READING, Action.READ  # found faster by these names
_NONE: Any = ()
"""One for all that have read nothing yet: tens of thousands may wait."""


class Read:
    """One question that is asked of the stream, and what it goes on from."""

    __slots__ = ("command", "cursor")

    def __init__(self, command: Command, cursor: EntryId) -> None:
        self.command = command
        self.cursor = cursor


class Position:
    """Where a receiver is in a stream."""

    __slots__ = (
        "_conversation",
        "_futile_rereads",
        "_marked",
        "_marked_at",
        "_page",
        "checked",
        "cursor",
        "key",
        "name",
        "notified_at",
        "read_count",
        "reading",
        "recent",
        "refused_since",
        "remembers",
        "state",
        "unread",
    )

    def __init__(
        self, name: str, key: str, cursor: EntryId = BEGINNING, *, remembers: bool = False
    ) -> None:
        """`remembers`: each entry comes once, also after a failover; of inputs, which stay."""
        self.name = name
        self.key = key.encode()
        self.cursor = cursor
        """The id of the last entry that was read."""
        self.state = State.UNKNOWN
        self.reading: Read | None = None
        """The read whose reply is awaited."""
        self.unread: list[Any] = _NONE
        """Entries that were read ahead and not handed out, the next one last."""
        self.remembers = remembers
        self.recent: RecentEntries | None = None
        """The last entries that were read, once there are any that are to be remembered."""
        self.checked: object = None
        """The connection on which the last entry was found to be there."""
        self.read_count = 0
        """How many entries were read, from the stream's first on."""
        self.notified_at = 0.0
        """When the server told of the change that it reads now; 0 when it did not."""
        self.refused_since = 0.0
        """Since when (seconds) the server has refused each read; 0 when it has not."""
        self._page = FIRST_PAGE
        self._conversation = 0
        self._futile_rereads = 0
        self._marked = -1
        self._marked_at = 0.0

    @property
    def is_caught_up(self) -> bool:
        """Whether there were no more entries when it was looked last."""
        return self.state in CAUGHT_UP

    @property
    def converses(self) -> bool:
        """Whether the last reads in a row brought few entries, as those of a conversation do."""
        return self._conversation >= CONVERSATION

    # What is at hand.

    def next_id(self) -> tuple[int, int]:
        """Return the id of the next entry, as numbers, to put several streams in order."""
        milliseconds, _, number = self.unread[-1][0].partition(b"-")
        return int(milliseconds), int(number)

    def peek(self) -> Entry:
        """Return the next entry."""
        return read_entry(*self.unread[-1])

    def advance(self) -> None:
        """Go on past the next entry."""
        self.unread.pop()

    def take_over(self, before: Position) -> None:
        """Go on from where a position is that is read from no more."""
        self.cursor, self.read_count = before.cursor, before.read_count
        self.unread, before.unread = before.unread, _NONE
        self.recent, before.recent = before.recent, None

    # What happens to it.

    def handle(self, event: Event, is_awaited: Callable[[], bool]) -> Actions:
        """Return what is to be done after an event. `is_awaited`, by somebody, on a connection."""
        transition = TRANSITIONS[self.state].get(event)
        actions: Actions = ()
        if transition is not None:
            self.state, actions = transition
        if self.state is _UNKNOWN and not self.unread and is_awaited():
            self.state = _READING
            return (*actions, _READ)
        return actions

    def changed(self, now: float, is_awaited: Callable[[], bool], *, is_served: bool) -> Event:
        """Return which event a change is; `is_served` by a blocking read."""
        if self.unread or self.state in UNDER_WAY or not is_awaited():
            return Event.CHANGED
        self.notified_at = now
        return Event.CHANGED_SOON if is_served or self._futile_rereads > 1 else Event.CHANGED

    def hold_seconds(self, *, is_served: bool) -> float:
        """Return how long to wait, at most, before it is looked what has changed."""
        if is_served:
            return BLOCKING_READ_SECONDS
        return min(LONGEST_REREAD_SECONDS, REREAD_SECONDS * self._futile_rereads)

    def refused(self, now: float, patience: float) -> bool:
        """Note that the server cannot answer for now; return whether it has not for too long."""
        self.refused_since = self.refused_since or now
        return now - self.refused_since >= patience

    def mark(self, now: float, most: int) -> bool:
        """Return whether the server is due to be told how far was read, and note that it is.

        It is when `most` entries were read since, or some a second after.
        """
        since = self.read_count - self._marked
        is_due = self._marked < 0 or since >= most or now - self._marked_at >= MARK_SECONDS
        if is_due:
            self._marked, self._marked_at = self.read_count, now
        return is_due

    # What it asks, and what comes of it.

    def doubted(self, connection: object) -> EntryId | None:
        """Return the id of an entry that has to be looked for before the next read."""
        return None if self.recent is None or self.checked is connection else self.cursor

    def note_place(self, connection: object, place: EntryId, *, is_there: bool) -> bool:
        """Take note whether an entry that was doubted is there; return whether it goes back."""
        self.checked = connection
        if is_there or place != self.cursor or self.recent is None:
            return False
        # What is read past the old place comes next, and is dropped for it.
        self.cursor, self.read_count = self.recent.go_back()
        return True

    def next_read(self, connection: object) -> Read:
        """Return what to ask next."""
        if self.recent is None:
            self.checked = connection  # there is nothing that could have been lost
        self.reading = Read(self._xread(), self.cursor)
        return self.reading

    def blocking_read(self, milliseconds: int) -> Read:
        """Return the same as a question that waits so long for an answer."""
        return Read(self._xread("BLOCK", milliseconds), self.cursor)

    def _xread(self, *block: str | int) -> Command:
        return ("XREAD", "COUNT", self._page, *block, "STREAMS", self.key, self.cursor)

    def take_reply(self, read: Read, reply: Any, /) -> Event:
        """Take the reply to the read under way."""
        self.reading = None
        if read.cursor != self.cursor:
            return Event.STALE
        self.refused_since = 0.0
        if reply:
            return self._take(reply[self.key])
        self._futile_rereads += self.notified_at > 0
        return Event.NOTHING

    def take_brought(self, read: Read, reply: Any, connection: object) -> bool:
        """Take what a blocking read brought, and return whether it was news."""
        is_news = read.cursor == self.cursor and self.checked is connection
        if is_news:
            self._take(reply[self.key])
        return is_news

    def _take(self, entries: list[Any]) -> Event:
        self._futile_rereads = 0
        is_full = len(entries) == self._page
        # Not after the first page, which may be all that is wanted, and no more than one ahead.
        reads_ahead = is_full and self._page != FIRST_PAGE and not self.unread
        if is_full:
            self._page, self._conversation = _fitting(self._page, entries), 0
        else:
            self._page = FIRST_PAGE  # the next entries may be larger
            self._conversation += 1
        has_news = self._put_behind(entries)
        if is_full:
            return Event.BACKLOG if reads_ahead else Event.FULL
        return Event.SOME if has_news else Event.NOTHING

    def _put_behind(self, entries: list[Any]) -> bool:
        self.cursor = entries[-1][0]
        self.read_count += len(entries)
        if self.remembers:
            self.recent = self.recent or RecentEntries(RECENT_INPUTS)
            entries = self.recent.news(entries)
            counts.receives += len(entries)
        entries.reverse()
        if self.unread:
            self.unread[:0] = entries  # in one step: threads take entries meanwhile
        else:
            self.unread = entries
        return bool(entries)


def earliest(positions: Iterable[Position]) -> Position | None:
    """Return the one whose entry comes next, None if something has to be read first."""
    found = None
    for position in positions:
        if position.unread:
            if found is None or position.next_id() < found.next_id():
                found = position
        elif not position.is_caught_up:
            return None  # its next entry, still on the server, may come before the others'
    return found


def _fitting(page: int, entries: list[Any]) -> int:
    size = sum(len(fields[-1]) for _, fields in entries) or 1
    return max(1, min(PAGE_BYTES * len(entries) // size, page * 4, LARGEST_PAGE))
