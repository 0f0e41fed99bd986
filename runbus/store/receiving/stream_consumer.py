"""A tail: one receiver's place in one stream.

It reads in pages whose size follows the size of the entries, hands them out one by one, and knows
whether the server is armed to tell it of more (see `watch`). In a backlog it asks for the next page
when it has got one, so that the server works while the entries of that one are handed out. On each
new connection it first looks whether the last entry that it read is still there: a failover may
have lost it, and then it goes back (see `seen`).
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
from runbus.store.connection.connection import LinkLost, is_transient
from runbus.store.connection.counters import counts
from runbus.store.connection.error_replies import refused
from runbus.store.connection.hash_slots import hash_tag
from runbus.store.receiving.recent_entries import BEGINNING, Seen

if TYPE_CHECKING:
    from runbus.store.bus import Bus
    from runbus.store.connection.connection import Link
    from runbus.store.receiving.tracking import Watch

FIRST_PAGE = 32
LARGEST_PAGE = 512
PAGE_BYTES = 512 * 1024
# How long after a push the entries may still come by the express.
EXPRESS_SECONDS = 0.003
REREAD_SECONDS = 0.005
LONGEST_REREAD_SECONDS = 0.1
RETRY_SECONDS = 0.2
# How many inputs are remembered in case that a failover loses some.
SEEN_INPUTS = 1024

# Held while what a tail has read changes: its place may move to another loop's tail at any moment.
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


class Receiver(Protocol):
    """Whom a tail reads for: a `Reader`, or a `Follower`."""

    bus: Bus
    poll_interval: float
    marks: bool
    """Whether it receives inputs, which are not trimmed, and each of them once."""

    @property
    def waits(self) -> bool:
        """Whether entries are wanted now."""
        ...

    def hear(self, tail: Tail, /) -> None:
        """Take note that a tail has read."""
        ...

    def fail(self, error: Exception, /) -> None:
        """Raise an error in whoever waits."""
        ...


class Tail:
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
        "page",
        "read_count",
        "reader",
        "seen",
        "tag",
        "told_at",
        "trouble",
        "unread",
        "watch",
    )

    def __init__(self, reader: Receiver, watch: Watch, name: str, key: str) -> None:
        self.reader: Receiver = reader
        self.name = name
        self.key = key.encode()
        self.tag = intern(hash_tag(key))
        """The hash tag of its key."""
        self.cursor: bytes | str = BEGINNING
        """The id of the last entry that was read."""
        self.seen: Seen | None = None
        """The last entries that were read, once there are any."""
        self.checked: Link | None = None
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
        self.told_at = 0.0
        """When the server told of the change that it reads now; 0 when it did not."""
        self.watch = watch
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
        watch.add(self)

    def next_id(self) -> tuple[int, int]:
        """Return the id of the next entry, as numbers, to put several tails in order."""
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

    def take_over(self, before: Tail) -> None:
        """Go on from where a tail of another event loop is, which reads no more."""
        with _changing:
            self.cursor, self.read_count = before.cursor, before.read_count
            self.unread, before.unread = before.unread, []
            self.seen, before.seen = before.seen, None

    def read(self) -> None:
        """Read the next page unless entries are at hand. The reader hears of the outcome."""
        if self.arm is Arm.READING:
            self._asked_again = True  # what is on its way may have been read before this call
        elif not self.unread:
            self._ask()

    def _ask(self) -> None:
        link = self.watch.channel.link
        if link is None:
            return
        self.arm, self._asked_again = Arm.READING, False
        if self.seen is None:
            self.checked = link
        elif self.checked is not link:
            command = ("XREVRANGE", self.key, self.cursor, self.cursor)
            link.send(command, partial(self._hear_place, link, self.cursor))
        command = ("XREAD", "COUNT", self.page, "STREAMS", self.key, self.cursor)
        link.send(command, partial(self._hear, self.watch, self.cursor))
        self._beside = None
        if self.beside_key is not None and self.told_at:
            link.send(("HGETALL", self.beside_key), self._hear_beside)

    def read_if_awaited(self) -> None:
        """Read if somebody waits and nothing is known of what comes next."""
        if self.arm is Arm.UNKNOWN and self.reader.waits:
            self.read()

    def accept(self, entries: list[Any], cursor: bytes | str) -> None:
        """Take entries that were read past a cursor on another connection, if they are news."""
        if cursor == self.cursor and self.checked is self.watch.channel.link:
            if self.arm is Arm.ARMED:
                self.arm = Arm.UNKNOWN  # the push of this change has come or will
            self._take_in(entries)

    def change(self) -> None:
        """Note that the stream may have changed; read at once if the reader waits."""
        if self.arm is not Arm.READING:
            self.arm = Arm.UNKNOWN
            if self.reader.waits:
                self.told_at = perf_counter()
                self._reread()

    def disarm(self) -> None:
        """Note that the connection is gone, and with it what the server was to tell."""
        if self.arm is Arm.ARMED:
            self.arm = Arm.UNKNOWN

    def move(self, watch: Watch) -> None:
        """Go over to the server that has the stream now, and read there if the reader waits."""
        waits = self.reader.waits
        if waits:
            self.watch.stop_waiting(self)
        self.watch.discard(self)
        self.watch, self.arm = watch, Arm.UNKNOWN
        watch.add(self)
        if waits:
            watch.start_waiting(self)
            self.read()

    def fail(self, error: Exception) -> None:
        """Give up reading for now: whoever waits for it is told why."""
        self.reader.fail(error)

    def close(self) -> None:
        """Stop hearing of changes."""
        self.watch.discard(self)

    def _reread(self) -> None:
        # A key that keeps changing without new entries (the server's tracking table overflows,
        # say) must not keep both sides busy.
        self._rereads = True
        if self.watch.express.serves(self):
            self.watch.call_later(EXPRESS_SECONDS, self.read_if_awaited)
        elif self._futile_rereads <= 1:
            self.read()
        else:
            bound = min(LONGEST_REREAD_SECONDS, REREAD_SECONDS * self._futile_rereads)
            self.watch.call_later(random.uniform(bound / 2, bound), self.read)  # noqa: S311

    def _hear_place(self, link: Link, cursor: bytes | str, reply: Any) -> None:
        if isinstance(reply, Exception) or link is not self.watch.channel.link:
            return  # the next read looks again
        self.checked = link
        with _changing:
            is_lost = not reply and cursor == self.cursor and self.seen is not None
            if is_lost and self.seen is not None:
                # What is read past the old place comes next, and is dropped for it.
                self.cursor, self.read_count = self.seen.go_back()
        if is_lost:
            _log.warning("%s has lost its last entries; reading again", self.key.decode())

    def _hear(self, watch: Watch, cursor: bytes | str, reply: Any) -> None:
        if watch is not self.watch:
            return  # it has moved since, and reads there
        self.arm = Arm.UNKNOWN
        if isinstance(reply, LinkLost):
            pass  # the watch reads again once it is connected
        elif isinstance(reply, ReplyError):
            self._hear_error(reply)
        elif cursor != self.cursor:
            self.read_if_awaited()  # what was asked for has come by the express
        elif reply:
            self._hear_entries(reply[self.key])
        else:
            self._hear_nothing()
        self._rereads = False

    def _hear_entries(self, entries: list[Any]) -> None:
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
        if self.told_at:
            counts.wakes.add(perf_counter() - self.told_at)
            self.told_at = 0.0
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
        self.reader.hear(self)
        if not self.unread:  # all of it was seen before
            self.read_if_awaited()

    def _put_behind(self, entries: list[Any]) -> None:
        self.cursor = entries[-1][0]
        self.read_count += len(entries)
        if self.reader.marks:  # who receives inputs, which are not trimmed
            self.seen = self.seen or Seen(SEEN_INPUTS)
            entries = self.seen.news(entries)
            counts.receives += len(entries)
        entries.reverse()
        self.unread[:0] = entries  # in one step: threads take entries meanwhile

    def _hear_nothing(self) -> None:
        self.trouble = None
        self._futile_rereads += self._rereads
        if self._asked_again:
            self._ask()
        else:
            self.arm = Arm.ARMED
            self.reader.hear(self)

    def _hear_beside(self, reply: Any) -> None:
        self._beside = None if isinstance(reply, Exception) else reply

    def _hear_error(self, error: ReplyError) -> None:
        if not is_transient(error):
            address = self.watch.channel.server.address
            self.fail(refused(address, error, ("XREAD", "STREAMS", self.key)))
            return
        self.watch.heed(error)
        if not self.reader.waits:
            return
        if not str(error).startswith("ASK"):
            self._bear(error)
        elif self._elsewhere is None or self._elsewhere.done():
            work = self._read_where_it_goes(self.cursor)
            self._elsewhere = self.reader.bus.loop.create_task(work)

    async def _read_where_it_goes(self, cursor: bytes | str) -> None:
        """Read a stream that is on its way to another server, which tells nobody of it yet."""
        command = ("XREAD", "COUNT", self.page, "STREAMS", self.key, cursor)
        with suppress(RunbusError):  # the next time may have more luck
            reply = await self.reader.bus.requests.command(*command)
            if cursor != self.cursor:
                pass  # it has arrived meanwhile, and was read there
            elif reply:
                self._take_in(reply[self.key])
            else:
                self._hear_nothing()
        await asyncio.sleep(random.uniform(0.5, 1) * RETRY_SECONDS)  # noqa: S311
        self.change()

    def _bear(self, error: ReplyError) -> None:
        """Read again in a while, unless the server has refused for too long."""
        bus = self.reader.bus
        if self.trouble is None:
            self._refused_since = bus.loop.time()
        self.trouble = error
        seconds = bus.loop.time() - self._refused_since
        if seconds < bus.settings.retry_seconds:
            self.watch.call_later(random.uniform(0.5, 1) * RETRY_SECONDS, self.change)  # noqa: S311
        else:
            self.trouble = None  # who waits again is patient again
            self.fail(self.watch.channel.unreachable(seconds, error))

    def _fit_page(self, entries: list[Any]) -> None:
        size = sum(len(fields[-1]) for _, fields in entries) or 1
        fitting = PAGE_BYTES * len(entries) // size
        self.page = max(1, min(fitting, self.page * 4, LARGEST_PAGE))
