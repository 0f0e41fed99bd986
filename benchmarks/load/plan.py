"""What a load test does: its options, and the schedule that they and the seed make.

The model is open. Each operation has an intended time that does not depend on how long those
before it took, and all latencies count from it. So a server that stands still for a second is seen
in each operation that was due in that second, and not only in the one that was under way.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MODES = ("send", "roundtrip", "pause", "suspend", "deploy")
_INTERVALS = 60


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that a sender does."""

    due: float
    """When, in seconds after the start; before it in the warm-up."""
    run: int
    """With which of the runs."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The options of one load test."""

    mode: str = "send"
    runs: int = 20
    """How many runs get inputs or wait for answers; suspend and deploy make a run per operation."""
    senders: int = 20
    receivers: int = 20
    """Each run has at least one; several of one run each receive all of its inputs."""
    rate: float = 1000.0
    """Operations per second, of all senders together."""
    duration: float = 10.0
    """Seconds."""
    warm_up: float = 1.0
    """Seconds of the same load before that, which are checked and not timed."""
    payload: int = 100
    """Bytes of text in each input."""
    processes: int = 1
    """How many processes send; as many others receive."""
    seed: int = 0

    def check(self) -> None:
        """Raise `ValueError` if this cannot be done."""
        counts = (self.runs, self.senders, self.receivers, self.processes)
        if min(self.payload, self.warm_up) < 0:
            raise ValueError("payload, warm_up: 0 or more")
        if min(counts) < 1 or not (self.rate > 0 and self.duration > 0):
            raise ValueError("runs, senders, receivers, processes, rate and duration: more than 0")
        if self.mode not in MODES:
            raise ValueError(f"--mode: one of {', '.join(MODES)}")
        if self.receivers < self.runs:
            raise ValueError("--receivers: each run needs one, so at least as many as --runs")
        if self.receivers > self.runs and self.mode != "send":
            raise ValueError("--receivers: more than --runs is for --mode send alone")
        if self.mode == "pause" and self.senders > self.runs:
            raise ValueError("--senders: one answers a run's pauses, so at most as many as --runs")

    @property
    def interval(self) -> float:
        """The seconds that one point of the chart over time stands for."""
        return max(0.5, self.duration / _INTERVALS)

    @property
    def grace(self) -> float:
        """How many seconds senders that are late go on after the end."""
        return max(2.0, self.duration / 2)

    def targets(self, sender: int) -> Sequence[int]:
        """Return the runs that a sender has to do with."""
        step = self.senders if self.mode == "pause" else 1
        return range(sender % step, self.runs, step)

    def schedule(self, sender: int) -> Iterator[Operation]:
        """Yield a sender's operations, which come like visitors: at random times (Poisson)."""
        chance = random.Random(f"{self.seed}:{sender}")
        targets, rate = self.targets(sender), self.rate / self.senders
        due = chance.expovariate(rate) - self.warm_up
        while due < self.duration:
            yield Operation(due, chance.choice(targets))
            due += chance.expovariate(rate)

    def share(self, count: int, part: int) -> range:
        """Return which of so many parties live in process number `part`."""
        return range(part, count, self.processes)
