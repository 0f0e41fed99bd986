"""What a run takes of the limit of its worker: a slot while it executes, none while it waits."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Wait:
    """A wait of one of a run's verbs, as a block: meanwhile other runs may execute.

    It counts after some time (seconds).
    """

    __slots__ = ("_activity", "_after", "_has_begun", "_run", "_timer")

    def __init__(self, run: Waiter, activity: Activity, after: float) -> None:
        self._run = run
        self._activity = activity
        self._after = after
        self._has_begun = False
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        if self._after > 0:
            self._timer = asyncio.get_running_loop().call_later(self._after, self._begin)
        else:
            self._begin()

    async def __aexit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._has_begun:
            self._activity.end_wait()
            if self._run.interrupt is None:  # else the run executes no more
                await self._activity.has_slot()

    def _begin(self) -> None:
        self._has_begun = True
        self._activity.begin_wait()


class Waiter(Protocol):
    """A run whose verbs wait."""

    interrupt: BaseException | None


class Slot(Protocol):
    """What a claimed run takes of the limit of its worker."""

    @property
    def is_held(self) -> bool:
        """Whether it counts against the limit now."""
        ...

    @property
    def activity(self) -> Activity:
        """The claimed run's own."""
        ...

    def enter_loop(self) -> None:
        """Take note that the run is executed on this thread's event loop."""
        ...

    def close(self) -> None:
        """Give it back for good."""
        ...


class Activity(Protocol):
    """One run's part in a slot."""

    def begin_wait(self) -> None:
        """Take note that one more verb of the run waits."""
        ...

    def end_wait(self) -> None:
        """Take note that one of them goes on, as soon as it `has_slot`."""
        ...

    def call(self) -> Activity:
        """Begin the activity of a flow that the run calls, and that goes on once it `has_slot`."""
        ...

    def end(self) -> None:
        """End the activity of a flow that was called."""
        ...

    async def has_slot(self) -> None:
        """Wait until there is a slot for the run to execute in."""
        ...
