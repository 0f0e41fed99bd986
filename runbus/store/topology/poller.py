"""The lookout: asks twice a second whether the data has moved to another server.

A primary that was demoted or is frozen says nothing of it to those who only wait.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

SECONDS = 0.5


class Lookout:
    """Looks, and looks again a while after it has."""

    def __init__(self, look: Callable[[], Coroutine[None, None, None]]) -> None:
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._looking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(SECONDS, self.look)
        self._closed = False

    def look(self) -> asyncio.Task[None]:
        """Look now, unless that is under way; return the task that does."""
        if self._looking is None:
            if self._timer is not None:
                self._timer.cancel()
            self._looking = self._loop.create_task(self._look())
            self._looking.add_done_callback(self._rest)
        return self._looking

    def close(self) -> None:
        """Look no more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()

    def _rest(self, looked: asyncio.Task[None]) -> None:
        self._looking = None
        if not looked.cancelled():
            looked.exception()  # the next look may have more luck
        if not self._closed:
            self._timer = self._loop.call_later(SECONDS, self.look)
