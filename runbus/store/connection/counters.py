"""Counts of what this process has done, for whoever watches it.

Plain additions on plain numbers. Loops in several threads share them: CPython does not change
threads inside of such an addition.
"""

from __future__ import annotations

from bisect import bisect_left

WAKE_BOUNDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1.0, 5.0)
"""The upper bounds (seconds) of the buckets that wakes are counted in."""


class Wakes:
    """How long it takes, once the server has told of a change, until the entries are here."""

    def __init__(self) -> None:
        self.buckets = [0] * (len(WAKE_BOUNDS) + 1)
        """How many wakes were within each bound and over the one before; last, over all of them."""
        self.seconds = 0.0
        """How long all of them took together."""

    def add(self, seconds: float) -> None:
        """Count a wake."""
        self.buckets[bisect_left(WAKE_BOUNDS, seconds)] += 1
        self.seconds += seconds


class Counts:
    """The counts of one process since it began."""

    def __init__(self) -> None:
        self.sends = 0
        """Inputs that were stored."""
        self.receives = 0
        """Inputs that were read for receivers."""
        self.retries = 0
        """Calls that were repeated because no answer came, or that the server put off."""
        self.reconnects = 0
        """Connections that were lost while they were in use."""
        self.runs_lost = 0
        """Runs that another process took over."""
        self.runs_recovered = 0
        """Runs that were taken from processes that are gone."""
        self.wakes = Wakes()


counts = Counts()
