"""The limit: how many runs execute at once in one worker.

A run that was claimed has a slot, and shares it with the flows that it calls. Each of these runs
is an activity: it executes, unless one of its verbs waits; to call another flow is such a verb, and
the other flow an activity of its own. While any activity executes, the slot counts against the
limit. It is given back as soon as all of them wait, and taken again before any of them goes on.

Nothing here needs a thread or an event loop. What counts is changed under one lock; who has to wait
for a slot is woken on the loop where it waits, and takes the slot itself, once it runs there. So
nobody keeps a slot who cannot use it.

A thread whose flow was called on an event loop blocks that loop, and the runs on it that have
slots: they stand still until it goes on, and it does not wait for theirs.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING

from runbus.background.caller import blocked_loops
from runbus.store.connection.connection import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Turn = asyncio.Future[None]
"""Is done when somebody who waits for a slot may try to take it."""


class SlotLimit:
    """The bound on the slots that are taken at once.

    `on_free` is called, in any thread, whenever there is one to be had, and in no run's context.
    """

    def __init__(self, limit: int | None, on_free: Callable[[], None]) -> None:
        self.lock = threading.Lock()
        self.holders: set[Slot] = set()
        self._limit = math.inf if limit is None else limit
        self._on_free = on_free
        self._queues: dict[asyncio.AbstractEventLoop, deque[Turn]] = {}

    def __str__(self) -> str:
        with self.lock:
            taken = len(self.holders)
        return f"{taken} taken, {'no limit' if self._limit == math.inf else f'limit {self._limit}'}"

    @property
    def is_full(self) -> bool:
        """Whether there is no slot for one more run; those that go on come first."""
        with self.lock:
            return self._is_full()

    def try_slot(self) -> Slot | None:
        """Take a slot for a run on this thread's event loop; None if there is none to be had."""
        slot = Slot(self, asyncio.get_running_loop())
        with self.lock:
            if self._is_full():
                return None
            self.holders.add(slot)
        return slot

    def take(self, slot: Slot, *, again: bool) -> Turn | None:
        """Take a slot anew; when there is none, return when to try again.

        Who does `again` is the first in its queue.
        """
        with self.lock:
            if not slot.is_over and slot not in self.holders:
                if len(self.holders) - self._standing_still() >= self._limit:
                    return self._queue_up(slot, first=again)
                self.holders.add(slot)
                slot.wake_all()
            self._wake_next()
        return None

    def pass_on(self) -> None:
        """Let the next ones try, if there is a slot to be had."""
        with self.lock:
            is_free = self._wake_next()
        if is_free:
            Context().run(self._on_free)

    def _wake_next(self) -> bool:
        is_free = len(self.holders) < self._limit
        if is_free and self._queues:
            for turn in self._next_turns():
                wake(turn)
        return is_free

    def _is_full(self) -> bool:
        waiting = sum(map(len, self._queues.values()))
        return len(self.holders) + waiting >= self._limit

    def _standing_still(self) -> int:
        blocked = blocked_loops.get()
        return sum(slot.loop in blocked for slot in self.holders) if blocked else 0

    def _queue_up(self, slot: Slot, *, first: bool) -> Turn:
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        slot.turns.append(turn)
        queue = self._queues.setdefault(loop, deque())
        if first:
            queue.appendleft(turn)
        else:
            queue.append(turn)
        return turn

    def _next_turns(self) -> Iterator[Turn]:
        # One of each loop, as the others may be blocked.
        for loop, queue in list(self._queues.items()):
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    yield turn
                    break
            if not queue:
                del self._queues[loop]


class Slot:
    """A claimed run's share of what its worker executes at once."""

    __slots__ = ("activity", "executing", "is_over", "limit", "loop", "turns")

    def __init__(self, limit: SlotLimit, loop: asyncio.AbstractEventLoop) -> None:
        self.limit = limit
        self.loop = loop
        """The loop that has to run for the run to go on."""
        self.executing = 1
        """How many activities execute, or want to."""
        self.turns: list[Turn] = []
        """Of those that want to."""
        self.is_over = False
        self.activity = Activity(self)
        """The claimed run's own."""

    @property
    def is_held(self) -> bool:
        """Whether the slot counts against the limit now."""
        return self in self.limit.holders

    def enter_loop(self) -> None:
        """Take note that the run is executed on this thread's event loop."""
        self.loop = asyncio.get_running_loop()

    def release_unused(self) -> None:
        """Give the slot back if no activity executes."""
        with self.limit.lock:
            if self.executing > 0 or not self.is_held:
                return
            self.limit.holders.discard(self)
        self.limit.pass_on()

    def close(self) -> None:
        """Give the slot back for good: the run has ended here. Once more does no harm."""
        with self.limit.lock:
            self.is_over, was_held = True, self.is_held
            self.limit.holders.discard(self)
            self.wake_all()
        if was_held:
            self.limit.pass_on()

    def wake_all(self) -> None:
        """Wake all that wait for this very slot, under the lock."""
        for turn in self.turns:
            wake(turn)
        self.turns.clear()


class Activity:
    """One run's part in a slot: the claimed run's, or that of a flow that was called in it."""

    __slots__ = ("_caller", "_waits", "slot")

    def __init__(self, slot: Slot, caller: Activity | None = None) -> None:
        self.slot = slot
        self._caller = caller
        self._waits = 0

    def begin_wait(self) -> None:
        """Take note that one more verb of the run waits."""
        with self.slot.limit.lock:
            self._count(+1)
        self.slot.release_unused()

    def end_wait(self) -> None:
        """Take note that one of them goes on, as soon as it `has_slot`."""
        with self.slot.limit.lock:
            self._count(-1)

    def call(self) -> Activity:
        """Begin the activity of a flow that the run calls, and that goes on once it `has_slot`."""
        with self.slot.limit.lock:
            self.slot.executing += 1
            self._count(+1)
        return Activity(self.slot, self)

    def end(self) -> None:
        """End the activity of a flow that was called: its caller goes on once it `has_slot`."""
        with self.slot.limit.lock:
            self.slot.executing -= self._waits == 0
            if self._caller is not None:
                self._caller._count(-1)
        self.slot.release_unused()

    async def has_slot(self) -> None:
        """Wait until there is a slot for the run to execute in.

        Who is interrupted here goes on without one, to its end.
        """
        again = False
        try:
            while self._waits == 0 and (turn := self.slot.limit.take(self.slot, again=again)):
                await turn
                again = True
        except BaseException:
            self.slot.limit.pass_on()  # it may have been this one's turn
            raise

    def _count(self, change: int) -> None:
        was_waiting, self._waits = self._waits > 0, self._waits + change
        self.slot.executing += was_waiting - (self._waits > 0)


def wake(turn: Turn) -> None:
    """Let somebody who waits try once more, in whatever thread that is."""
    with suppress(RuntimeError):  # that loop has ended
        turn.get_loop().call_soon_threadsafe(settle, turn, None)
