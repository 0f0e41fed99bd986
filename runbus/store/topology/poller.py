"""Polling: asks twice a second whether the data has moved to another server.

A primary that was demoted or is frozen says nothing of it to those who only wait.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from runbus.supervision import tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

SECONDS = 0.5
_log = logging.getLogger("runbus")


class Poller:
    """Asks, and asks again a while after it has."""

    def __init__(self, poll: Callable[[], Coroutine[None, None, None]]) -> None:
        self._poll = poll
        self._loop = asyncio.get_running_loop()
        self._polling: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(SECONDS, self.poll)
        self._closed = False
        self._last_error = ""

    def poll(self) -> asyncio.Task[None]:
        """Ask now, unless that is under way; return the task that does."""
        if self._polling is None:
            if self._timer is not None:
                self._timer.cancel()
            self._polling = tasks.start(self._poll(), self._loop)
            self._polling.add_done_callback(self._poll_later)
        return self._polling

    def close(self) -> None:
        """Ask no more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._polling is not None:
            self._polling.cancel()

    def _poll_later(self, polled: asyncio.Task[None]) -> None:
        self._polling = None
        error = None if polled.cancelled() else polled.exception()
        if error is not None and repr(error) != self._last_error:  # the next one may have more luck
            self._last_error = repr(error)
            _log.error("where the data is could not be asked for", exc_info=error)
        if not self._closed:
            self._timer = self._loop.call_later(SECONDS, self.poll)
