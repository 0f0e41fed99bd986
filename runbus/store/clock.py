"""Clocks: the boot-time clock, which nobody sets, and the server's beside it.

When the server's clock is set forward, all leases end at once. Those who live renew theirs within
a third of a lease. So who has seen it jump believes for a while no lease to have ended of itself.
A process that has only begun has seen nothing; in a cluster, one primary's clock stands for all.
"""

from __future__ import annotations

import time

JUMP_LEASES = 0.5
"""How far the clock must jump, in lease times: a lease that is renewed has two thirds left."""
REST_LEASES = 0.6
"""For how many lease times it is not believed then."""
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class ServerClock:
    """What one event loop knows of the server's clock."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._ahead: float | None = None
        self._jumped_at = float("-inf")

    def is_doubtful(self, server_time: float) -> bool:
        """Take note of the server's time (seconds) now; whether it has lately jumped forward."""
        now = boot_time()
        before, self._ahead = self._ahead, server_time - now
        if before is not None and self._ahead - before > JUMP_LEASES * self._lease_seconds:
            self._jumped_at = now
        return now - self._jumped_at < REST_LEASES * self._lease_seconds


def boot_time() -> float:
    """Return seconds on a clock that goes on while the machine or the process sleeps."""
    return time.clock_gettime(_BOOT_CLOCK)
