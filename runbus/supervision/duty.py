"""Duties: what a process does again and again for as long as it lives.

A duty has a name, work that never ends of itself, and a pulse: after each good round the work calls
`beat`. Whoever asks whether the process is well asks its duties how long ago that was.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakSet

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PATIENCE_ROUNDS = 5
"""After how many times its interval a duty without a good round is called stuck."""
LEAST_PATIENCE = 10.0


class Duty:
    """One long-lived duty and how it does."""

    def __init__(
        self, name: str, work: Callable[[Duty], Awaitable[None]], *, interval: float
    ) -> None:
        """`interval` is how often (seconds) a good round may be expected."""
        self.name = name
        self.work = work
        self.failures = 0
        """How often it has failed and was started again."""
        self.error: BaseException | None = None
        """Why it failed last, until a round is good."""
        self.expect(interval)
        self._beat_at = time.monotonic()
        with _changing:
            _alive.add(self)

    def expect(self, interval: float) -> None:
        """Take note how often (seconds) a good round may be expected from now on."""
        self._patience = max(LEAST_PATIENCE, PATIENCE_ROUNDS * interval)

    def beat(self) -> None:
        """Take note of a good round."""
        self._beat_at = time.monotonic()
        self.error = None

    def note_failure(self, error: BaseException) -> bool:
        """Take note that the work has failed; whether that is news."""
        is_news = self.error is None or str(self.error) != str(error)
        self.failures += 1
        self.error = error
        return is_news

    def end(self) -> None:
        """Count no more among those that are asked."""
        with _changing:
            _alive.discard(self)

    @property
    def seconds_since_beat(self) -> float:
        """How long ago its last good round was, in seconds."""
        return time.monotonic() - self._beat_at

    @property
    def is_stuck(self) -> bool:
        """Whether it has had no good round for far longer than it takes."""
        return self.seconds_since_beat > self._patience


def periodic(name: str, round_: Callable[[], Awaitable[object]], seconds: float) -> Duty:
    """Return a duty that does a round, waits so many seconds, and does the next one."""

    async def work(duty: Duty) -> None:
        while True:
            await round_()
            duty.beat()
            await anyio.sleep(seconds)

    return Duty(name, work, interval=seconds)


def alive() -> list[Duty]:
    """Return the duties of this process, by name."""
    with _changing:
        found = list(_alive)
    return sorted(found, key=lambda duty: duty.name)


_alive: WeakSet[Duty] = WeakSet()
_changing = Lock()
