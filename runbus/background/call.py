"""Calls on the background loop, made by threads that a signal may interrupt at any moment.

Python raises KeyboardInterrupt in the main thread between any two steps of its code, so no Python
code is sure to run when a caller leaves: neither a `finally` nor a `with` whose object is written
in Python, such as the condition of a `concurrent.futures.Future`. That one's lock then stays held,
and the loop that sets its result hangs. What the interpreter does in one step is safe: to take and
to release a plain lock, and to leave a `with` on one. So a caller holds a plain lock for as long
as it is there, and the loop, which no signal interrupts, looks whether it is held.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from runbus.supervision import tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from threading import Lock

T = TypeVar("T")
LOOK_SECONDS = 0.5
"""How often the loop looks who has left; who leaves also tells it, unless interrupted again."""


class Attendance:
    """Notices, on one loop, that a thread has left a block of code, whatever made it leave."""

    def __init__(self) -> None:
        self._watched: dict[Lock, Callable[[], object]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, present: Lock, on_left: Callable[[], object]) -> None:
        """Call `on_left`, once, when this lock, which a thread holds, is held no more."""
        self._watched[present] = on_left
        if self._timer is None:
            self._arm()

    def forget(self, present: Lock) -> None:
        """Watch no more."""
        self._watched.pop(present, None)

    def look(self) -> None:
        """Look now who has left."""
        for present in [each for each in self._watched if not each.locked()]:
            self._watched.pop(present)()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        self.look()
        if self._watched:
            self._arm()


class BackgroundCall(Generic[T]):
    """A coroutine that runs on a loop for somebody elsewhere.

    `on_done` is called on that loop when it is over. One that `must_end` goes on when its caller
    has left, and the end of the process waits for it, within reason.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Callable[[], Coroutine[object, None, T]],
        on_done: Callable[[], object],
        *,
        must_end: bool = False,
    ) -> None:
        self.must_end = must_end
        self._loop = loop
        self._work = work
        self._on_done: Callable[[], object] | None = on_done
        self._task: asyncio.Task[None] | None = None
        self._value: T | None = None
        self._error: BaseException | None = None

    def start(self) -> asyncio.Task[None]:
        """Start it; on its loop."""
        self._task = tasks.start(self._run(), self._loop)
        return self._task

    def cancel(self) -> None:
        """Cancel it; from any thread."""
        self._loop.call_soon_threadsafe(self.cancel_here)

    def cancel_here(self) -> None:
        """Cancel it; on its loop."""
        if self._task is not None:
            self._task.cancel()

    def let_go(self) -> None:
        """Cancel it and tell nobody: who waits for it does so for as long as the process lives."""
        self._on_done = None
        self.cancel_here()

    def result(self) -> T:
        """Return what it gave, or raise its error, once it is over."""
        error, self._error = self._error, None  # an error refers to its frames, and they to this
        if error is not None:
            raise error
        return cast("T", self._value)

    async def _run(self) -> None:
        try:
            self._value = await self._work()
        except BaseException as error:  # a SystemExit in it must not end the loop
            self._error = error
        finally:
            self._task = None
            if self._on_done is not None:
                self._on_done()
