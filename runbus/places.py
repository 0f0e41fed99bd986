"""Places: how many runs execute at once in one worker.

A run that waits for an answer leaves its place to another one, and takes one again to go on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

UNLIMITED = 1_000_000


class SlotLimit:
    """The places of the runs that execute at once in one worker."""

    def __init__(self, limit: int | None, on_free: Callable[[], None]) -> None:
        self.free = asyncio.Semaphore(limit or UNLIMITED)
        self.loop = asyncio.get_running_loop()
        self._on_free = on_free

    def try_slot(self) -> Slot | None:
        """Take a slot."""
        if self.free.locked():
            return None
        self.free._value -= 1
        return Slot(self)

    def release(self) -> None:
        """Take note that a run has left."""
        self.free.release()
        self._on_free()


class Slot:
    """One run's place, which it leaves and takes from whatever loop it waits on."""

    def __init__(self, places: SlotLimit) -> None:
        self._places = places
        self.is_held = True

    async def take(self) -> None:
        """Wait until there is a place, unless the run has one."""
        if self.is_held:
            return
        loop = self._places.loop
        if asyncio.get_running_loop() is loop:
            await self._places.free.acquire()
        else:
            taking = asyncio.run_coroutine_threadsafe(self._places.free.acquire(), loop)
            await asyncio.wrap_future(taking)
        if self.is_held:  # another part of the run has taken one meanwhile
            loop.call_soon_threadsafe(self._places.release)
        self.is_held = True

    async def leave(self) -> None:
        """Give the place back, unless that was done."""
        self.close()

    def close(self) -> None:
        if self.is_held:
            self.is_held = False
            self._places.loop.call_soon_threadsafe(self._places.release)
