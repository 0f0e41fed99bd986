"""The axis of receivers that wait in one process."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from benchmarks.micro.waiters import crowd_of
from benchmarks.scale.axis import Axis, Costs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench

_WAKES = 60


def axes() -> Iterator[Axis]:
    """The axis about receivers."""
    yield Axis(name="waiting receivers", sizes=(1, 10, 100, 1000, 10_000, 50_000), measure=_waiting)


def _waiting(bench: Bench, size: int) -> Costs:
    """What one more receiver takes of the process, and how long a wake lasts among so many."""
    with crowd_of(bench, size) as crowd:
        wake = median(median(crowd.wakes(_WAKES)) for _ in range(5))
        costs = {"wake: us": wake * 1000}
        return costs | ({"waiting: bytes": crowd.memory * 1024} if size >= _LEAST else {})


_LEAST = 1000  # with fewer, a page more or less of the allocator is all that is seen
