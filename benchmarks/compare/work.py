"""The work that all sides are given, and how it is measured."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from operator import attrgetter
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.compare.side import BACKLOG

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.compare.side import Act, Side

TASKS = 40
_LEAST = 3


@dataclass(frozen=True, kw_only=True)
class Work:
    """One kind of work."""

    name: str
    unit: str
    """`/s`, where more is better, or `ms`."""
    act: Callable[[Side], Act | None]
    measure: Callable[[Act, float], Awaitable[float]]
    """Do it for about so many seconds; return a number in the unit."""


async def _rate(act: Act, seconds: float, tasks: int = 1) -> float:
    began = time.perf_counter()

    async def repeat() -> int:
        count = 0
        while count < 1 or time.perf_counter() - began < seconds:
            await act()
            count += 1
        return count

    counts = await asyncio.gather(*(repeat() for _ in range(tasks)))
    return sum(counts) / (time.perf_counter() - began)


async def _rate_at_once(act: Act, seconds: float) -> float:
    return await _rate(act, seconds, TASKS)


async def _milliseconds(act: Act, seconds: float) -> float:
    taken: list[float] = []
    began = time.perf_counter()
    while len(taken) < _LEAST or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        await act()
        taken.append((time.perf_counter() - start) * 1e3)
    return median(taken)


async def _drained(act: Act, seconds: float) -> float:
    return BACKLOG * await _rate(act, seconds)


ALL = (
    Work(name="store, one at a time", unit="/s", act=attrgetter("store"), measure=_rate),
    Work(
        name=f"store, from {TASKS} tasks", unit="/s", act=attrgetter("store"), measure=_rate_at_once
    ),
    Work(
        name="until a receiver has it, p50",
        unit="ms",
        act=attrgetter("exchange"),
        measure=_milliseconds,
    ),
    Work(name="receive a backlog", unit="/s", act=attrgetter("drain"), measure=_drained),
    Work(
        name="start a job, get its result, p50",
        unit="ms",
        act=attrgetter("job"),
        measure=_milliseconds,
    ),
    Work(
        name=f"jobs to their results, {TASKS} tasks",
        unit="/s",
        act=attrgetter("job"),
        measure=_rate_at_once,
    ),
)
