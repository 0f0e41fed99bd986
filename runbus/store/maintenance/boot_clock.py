"""The boot-time clock: nobody sets it, and it goes on while the machine or the process sleeps."""

from __future__ import annotations

import time

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_time() -> float:
    """Return seconds on a clock that goes on while the machine or the process sleeps."""
    return time.clock_gettime(_BOOT_CLOCK)
