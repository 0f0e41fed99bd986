"""An axis: something that grows, and what one unit costs at each size."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from benchmarks.bench import Bench

Costs = dict[str, float]
"""What it costs, with its unit (`us`, `bytes`) → how much for one."""

DECADES = (100, 1000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One thing that grows."""

    name: str
    sizes: tuple[int, ...]
    measure: Callable[[Bench, int], Costs]

    def up_to(self, largest: int | None) -> tuple[int, ...]:
        """Return the sizes to measure: with a limit, those below it and the smallest."""
        return tuple(
            size for size in self.sizes if largest is None or size <= max(largest, self.sizes[0])
        )


class Spent(NamedTuple):
    """Seconds: of the clock, and of the processors of this process and of the server."""

    clock: float
    client: float
    server: float

    def per(self, count: int, before: Spent) -> Costs:
        """Return the microseconds of each for one of so many."""
        parts = zip(("clock", "client", "server"), self, before, strict=True)
        return {f"{name}, us": (end - start) / count * 1e6 for name, end, start in parts}


def spent(control: Redis) -> Spent:
    """Return what was spent until now."""
    used: dict[str, Any] = control.info("cpu")
    server = used["used_cpu_user"] + used["used_cpu_sys"]
    return Spent(time.perf_counter(), time.process_time(), server)


def named(what: str, costs: Costs) -> Costs:
    """Return costs with what they are of before their names."""
    return {f"{what}: {name}": cost for name, cost in costs.items()}
