"""Rows of the result: a number of runbus beside another one, or beside a limit.

A comparison is measured in rounds: runbus, the other, runbus, the other, … Each round gives one
ratio, so what slows the machine down for a while slows both sides down. The ratio of a row is the
median of these, its spread the lowest and the highest.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Pairs = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Goal:
    """What a row must reach."""

    sign: Literal[">=", "<="]
    value: float
    aim: float | None = None
    """What would be better still; not judged."""

    def is_met(self, number: float) -> bool:
        """Whether a number reaches it."""
        return number >= self.value if self.sign == ">=" else number <= self.value


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the result."""

    name: str
    runbus: float
    """The median of runbus's numbers."""
    unit: str
    other: float | None = None
    """The median of the numbers that it is compared with; None for a row with a limit."""
    versus: str = ""
    """What it is compared with."""
    ratio: float | None = None
    low: float
    """The lowest of what is judged: the ratios, or runbus's numbers."""
    high: float
    """The highest."""
    goal: Goal | None = None

    @property
    def judged(self) -> float:
        """The number that the goal is about."""
        return self.runbus if self.ratio is None else self.ratio

    @property
    def ok(self) -> bool:
        """Whether the goal is met, if there is one."""
        return self.goal is None or self.goal.is_met(self.judged)


def compared(name: str, pairs: Pairs, *, unit: str, versus: str, goal: Goal | None = None) -> Row:
    """Make a row of pairs (runbus, other), one of each round."""
    ratios = [ours / theirs for ours, theirs in pairs]
    return Row(
        name=name,
        runbus=median(ours for ours, _ in pairs),
        unit=unit,
        other=median(theirs for _, theirs in pairs),
        versus=versus,
        ratio=median(ratios),
        low=min(ratios),
        high=max(ratios),
        goal=goal,
    )


def limited(
    name: str, numbers: Sequence[float], *, unit: str = "", goal: Goal | None = None
) -> Row:
    """Make a row of runbus's numbers alone, one of each round."""
    return Row(
        name=name, runbus=median(numbers), unit=unit, low=min(numbers), high=max(numbers), goal=goal
    )


async def rate(send: Callable[[], Awaitable[object]], calls: int, tasks: int = 1) -> float:
    """Await a call many times, from one task or from several at once; return calls per second."""

    async def repeat() -> None:
        for _ in range(calls // tasks):
            await send()

    start = time.perf_counter()
    await asyncio.gather(*(repeat() for _ in range(tasks)))
    return calls // tasks * tasks / (time.perf_counter() - start)
