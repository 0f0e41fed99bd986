"""A stream consumer: one receiver's place in one stream.

It reads in pages whose size follows the size of the entries, hands them out one by one, and knows
whether the server is armed to tell it of more (see `tracking`). In a backlog it asks for the next
page when it has got one, so that the server works while the entries of that one are handed out. On
each new connection it first looks whether the last entry that it read is still there: a failover
may have lost it, and then it goes back (see `recent_entries`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from sys import intern
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from hiredis import ReplyError

from runbus.errors import RunbusError
from runbus.protocol.entries import Entry, read_entry
from runbus.store.connection.connection import ConnectionLost, is_transient
from runbus.store.connection.counters import counts
from runbus.store.connection.error_replies import refused
from runbus.store.connection.hash_slots import hash_tag
from runbus.store.receiving.recent_entries import BEGINNING, RecentEntries
from runbus.supervision import tasks

if TYPE_CHECKING:
    from runbus.settings import Settings
    from runbus.store.connection.connection import Connection
    from runbus.store.receiving.node_trackings import NodeTrackings
    from runbus.store.receiving.tracking import KeyTracking

FIRST_PAGE = 32
LARGEST_PAGE = 512
PAGE_BYTES = 512 * 1024
# How long after a push the entries may still come by the blocking read.
BLOCKING_READ_SECONDS = 0.003
REREAD_SECONDS = 0.005
LONGEST_REREAD_SECONDS = 0.1
RETRY_SECONDS = 0.2
# How many inputs are remembered in case that a failover loses some.
RECENT_INPUTS = 1024

# Held while what was read changes: its place may move to another loop's consumer at any moment.
_changing = Lock()
os.register_at_fork(
    before=_changing.acquire, after_in_parent=_changing.release, after_in_child=_changing.release
)
_log = logging.getLogger("runbus")


class Arm(Enum):
    """What is known of the entries past the last one that was read."""

    UNKNOWN = auto()
    """There may be some: read before waiting."""
    READING = auto()
    """A read is on its way. Pushes that come before its reply tell of changes that it sees."""
    ARMED = auto()
    """There were none at the last read, and the server tells when that changes."""


class Commands(Protocol):
    """Who asks a command until it is answered."""

    async def command(self, *command: str | bytes | float) -> Any:
        """Return the reply to a command. Raises `RunbusError`."""
        ...


class ReceivingBus(Protocol):
    """What receiving needs of its event loop's bus."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop."""
        ...

    @property
    def settings(self) -> Settings:
        """The settings."""
        ...

    @property
    def commands(self) -> Commands:
        """What else is asked."""
        ...

    @property
    def trackings(self) -> NodeTrackings:
        """What tells of changes."""
        ...


class Owner(Protocol):
    """Whom a stream is read for: a `Consumer`, or a `Follower`."""

    @property
    def bus(self) -> ReceivingBus:
        """The bus of its event loop."""
        ...

    poll_interval: float
    marks: bool
    """Whether it receives inputs, which are not trimmed, and each of them once."""

    @property
    def waits(self) -> bool:
        """Whether entries are wanted now."""
        ...

    def on_read(self, stream: StreamConsumer, /) -> None:
        """Take note that a stream was read."""
        ...

    def fail(self, error: Exception, /) -> None:
        """Raise an error in whoever waits."""
        ...


class StreamConsumer:
    """The entries of one stream from a cursor on."""

    __slots__ = (
        "_asked_again",
        "_beside",
        "_elsewhere",
        "_futile_rereads",
        "_refused_since",
        "_rereads",
        "arm",
        "beside_key",
        "checked",
        "conversation",
        "cursor",
        "key",
        "marked",
        "marked_at",
        "name",
        "notified_at",
        "owner",
        "page",
        "read_count",
        "recent",
        "tag",
        "tracking",
        "trouble",
        "unread",
    )

    def __init__(self, owner: Owner, name: str, key: str) -> None:
        self.owner: Owner = owner
        self.name = name
        self.key = key.encode()
        self.tag = intern(hash_tag(key))
        """The hash tag of its key."""
        self.cursor: bytes | str = BEGINNING
        """The id of the last entry that was read."""
        self.recent: RecentEntries | None = None
        """The last entries that were read, once there are any."""
        self.checked: Connection | None = None
        """The connection on which the last entry was found to be there."""
        self._elsewhere: asyncio.Task[None] | None = None
        self.unread: list[Any] = []
        """Entries that were read ahead and not handed out, the next one last."""
        self.page = FIRST_PAGE
        """How many entries the next read asks for."""
        self.conversation = 0
        """How many reads in a row brought few entries, as those of a conversation do."""
        self.read_count = 0
        """How many entries were read, from the stream's first on."""
        self.marked = -1
        """The read count that the server was told last."""
        self.marked_at = 0.0
        """When that was, by the loop's clock."""
        self.arm = Arm.UNKNOWN
        self.notified_at = 0.0
        """When the server told of the change that it reads now; 0 when it did not."""
        self.tracking = owner.bus.trackings.of(key)
        """What wakes it: that of the server which has its stream."""
        self.beside_key: str | None = None
        """A hash that tells what news on the stream mean, to be read together with them."""
        self._beside: Any = None
        self.trouble: ReplyError | None = None
        """What the server said to the last read, if it could not be done yet."""
        self._refused_since = 0.0
        self._asked_again = False
        self._rereads = False
        self._futile_rereads = 0
        self.tracking.add(self)

    @property
    def poll_interval(self) -> float:
        """How long (seconds) a lost connection may go unnoticed, at most."""
        return self.owner.poll_interval

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

    def take_beside(self) -> Any:
        """Return the hash as it was after the last news, None when it has to be read."""
        beside, self._beside = self._beside, None
        return beside

    def take_over(self, before: StreamConsumer) -> None:
        """Go on from where a consumer of another event loop is, which reads no more."""
        with _changing:
            self.cursor, self.read_count = before.cursor, before.read_count
            self.unread, before.unread = before.unread, []
            self.recent, before.recent = before.recent, None

    def read(self) -> None:
        """Read the next page unless entries are at hand. The owner is told."""
        if self.arm is Arm.READING:
            self._asked_again = True  # what is on its way may have been read before this call
        elif not self.unread:
            self._ask()

    def _ask(self) -> None:
        connection = self.tracking.connection.live
        if connection is None:
            return
        self.arm, self._asked_again = Arm.READING, False
        if self.recent is None:
            self.checked = connection
        elif self.checked is not connection:
            command = ("XREVRANGE", self.key, self.cursor, self.cursor)
            connection.send(command, partial(self._on_place, connection, self.cursor))
        command = ("XREAD", "COUNT", self.page, "STREAMS", self.key, self.cursor)
        connection.send(command, partial(self._on_reply, self.tracking, self.cursor))
        self._beside = None
        if self.beside_key is not None and self.notified_at:
            connection.send(("HGETALL", self.beside_key), self._on_beside)

    def read_if_awaited(self) -> None:
        """Read if somebody waits and nothing is known of what comes next."""
        if self.arm is Arm.UNKNOWN and self.owner.waits:
            self.read()

    def accept(self, entries: list[Any], cursor: bytes | str) -> None:
        """Take entries that were read past a cursor on another connection, if they are news."""
        if cursor == self.cursor and self.checked is self.tracking.connection.live:
            if self.arm is Arm.ARMED:
                self.arm = Arm.UNKNOWN  # the push of this change has come or will
            self._take_in(entries)

    def change(self) -> None:
        """Note that the stream may have changed; read at once if the owner waits."""
        if self.arm is not Arm.READING:
            self.arm = Arm.UNKNOWN
            if self.owner.waits:
                self.notified_at = perf_counter()
                self._reread()

    def disarm(self) -> None:
        """Note that the connection is gone, and with it what the server was to tell."""
        if self.arm is Arm.ARMED:
            self.arm = Arm.UNKNOWN

    def move(self, tracking: KeyTracking) -> None:
        """Go over to the server that has the stream now, and read there if the owner waits."""
        waits = self.owner.waits
        if waits:
            self.tracking.stop_waiting(self)
        self.tracking.discard(self)
        self.tracking, self.arm = tracking, Arm.UNKNOWN
        tracking.add(self)
        if waits:
            tracking.start_waiting(self)
            self.read()

    def fail(self, error: Exception) -> None:
        """Give up reading for now: whoever waits for it is told why."""
        self.owner.fail(error)

    def close(self) -> None:
        """Stop listening to changes."""
        self.tracking.discard(self)

    def _reread(self) -> None:
        # A key that keeps changing without new entries (the server's tracking table overflows,
        # say) must not keep both sides busy.
        self._rereads = True
        if self.tracking.blocking_read.serves(self):
            self.tracking.call_later(BLOCKING_READ_SECONDS, self.read_if_awaited)
        elif self._futile_rereads <= 1:
            self.read()
        else:
            bound = min(LONGEST_REREAD_SECONDS, REREAD_SECONDS * self._futile_rereads)
            self.tracking.call_later(random.uniform(bound / 2, bound), self.read)  # noqa: S311

    def _on_place(self, connection: Connection, cursor: bytes | str, reply: Any) -> None:
        if isinstance(reply, Exception) or connection is not self.tracking.connection.live:
            return  # the next read looks again
        self.checked = connection
        with _changing:
            is_lost = not reply and cursor == self.cursor and self.recent is not None
            if is_lost and self.recent is not None:
                # What is read past the old place comes next, and is dropped for it.
                self.cursor, self.read_count = self.recent.go_back()
        if is_lost:
            _log.warning("%s has lost its last entries; reading again", self.key.decode())

    def _on_reply(self, tracking: KeyTracking, cursor: bytes | str, reply: Any) -> None:
        if tracking is not self.tracking:
            return  # it has moved since, and reads there
        self.arm = Arm.UNKNOWN
        if isinstance(reply, ConnectionLost):
            pass  # it is read again on the next connection
        elif isinstance(reply, ReplyError):
            self._on_error(reply)
        elif cursor != self.cursor:
            self.read_if_awaited()  # what was asked for has come by the blocking read
        elif reply:
            self._on_entries(reply[self.key])
        else:
            self._on_nothing()
        self._rereads = False

    def _on_entries(self, entries: list[Any]) -> None:
        is_full = len(entries) == self.page
        # Not after the first page, which may be all that is wanted, and no more than one ahead.
        reads_ahead = is_full and self.page != FIRST_PAGE and not self.unread
        if not is_full:
            self.arm = Arm.ARMED
        self._take_in(entries)
        if reads_ahead and self.arm is Arm.UNKNOWN:
            self._ask()

    def _take_in(self, entries: list[Any]) -> None:
        self.trouble = None
        self._futile_rereads = 0
        if self.notified_at:
            counts.wakes.add(perf_counter() - self.notified_at)
            self.notified_at = 0.0
        if len(entries) == self.page:
            self._fit_page(entries)
            self.conversation = 0
        else:
            self.page = FIRST_PAGE  # the next entries may be larger
            self.conversation += 1
        with _changing:
            self._put_behind(entries)
        if self._asked_again and not self.unread:
            self._ask()
        self.owner.on_read(self)
        if not self.unread:  # all of it was seen before
            self.read_if_awaited()

    def _put_behind(self, entries: list[Any]) -> None:
        self.cursor = entries[-1][0]
        self.read_count += len(entries)
        if self.owner.marks:  # who receives inputs, which are not trimmed
            self.recent = self.recent or RecentEntries(RECENT_INPUTS)
            entries = self.recent.news(entries)
            counts.receives += len(entries)
        entries.reverse()
        self.unread[:0] = entries  # in one step: threads take entries meanwhile

    def _on_nothing(self) -> None:
        self.trouble = None
        self._futile_rereads += self._rereads
        if self._asked_again:
            self._ask()
        else:
            self.arm = Arm.ARMED
            self.owner.on_read(self)

    def _on_beside(self, reply: Any) -> None:
        self._beside = None if isinstance(reply, Exception) else reply

    def _on_error(self, error: ReplyError) -> None:
        if not is_transient(error):
            address = self.tracking.connection.server.address
            self.fail(refused(address, error, ("XREAD", "STREAMS", self.key)))
            return
        self.tracking.note_redirect(error)
        if not self.owner.waits:
            return
        if not str(error).startswith("ASK"):
            self._retry_later(error)
        elif self._elsewhere is None or self._elsewhere.done():
            work = self._read_where_it_goes(self.cursor)
            self._elsewhere = tasks.start(work, self.owner.bus.loop)

    async def _read_where_it_goes(self, cursor: bytes | str) -> None:
        """Read a stream that is on its way to another server, which tells nobody of it yet."""
        command = ("XREAD", "COUNT", self.page, "STREAMS", self.key, cursor)
        with suppress(RunbusError):  # the next time may have more luck
            reply = await self.owner.bus.commands.command(*command)
            if cursor != self.cursor:
                pass  # it has arrived meanwhile, and was read there
            elif reply:
                self._take_in(reply[self.key])
            else:
                self._on_nothing()
        await asyncio.sleep(random.uniform(0.5, 1) * RETRY_SECONDS)  # noqa: S311
        self.change()

    def _retry_later(self, error: ReplyError) -> None:
        """Read again in a while, unless the server has refused for too long."""
        bus = self.owner.bus
        if self.trouble is None:
            self._refused_since = bus.loop.time()
        self.trouble = error
        seconds = bus.loop.time() - self._refused_since
        if seconds < bus.settings.retry_seconds:
            self.tracking.call_later(random.uniform(0.5, 1) * RETRY_SECONDS, self.change)  # noqa: S311
        else:
            self.trouble = None  # who waits again is patient again
            self.fail(self.tracking.connection.unreachable(seconds, error))

    def _fit_page(self, entries: list[Any]) -> None:
        size = sum(len(fields[-1]) for _, fields in entries) or 1
        fitting = PAGE_BYTES * len(entries) // size
        self.page = max(1, min(fitting, self.page * 4, LARGEST_PAGE))
