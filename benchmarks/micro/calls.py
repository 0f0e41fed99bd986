"""Rows about calling a flow that does nothing, where it stands: ms per call.

That is a run like any other: made, begun, ended and told to whoever follows the events. The other
side writes the same three moments with redis-py: three `xadd`s, one after the other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from redis.asyncio import Redis as AsyncRedis

from benchmarks.bench import plain_fields
from benchmarks.measure import Goal, Row, compared, limited, rate
from runbus import flow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from benchmarks.measure import Pairs


@flow
async def _nothing(number: int) -> int:
    return number


@flow
def _nothing_sync(number: int) -> int:
    return number


def calling(bench: Bench) -> Iterator[Row]:
    """An async flow awaited on a loop, and a sync flow called in a thread."""
    quiet = logging.NullHandler()  # no lines on the terminal: they would be most of the time
    logging.getLogger("runbus").addHandler(quiet)
    with bench.settings():
        pairs = asyncio.run(_awaited(bench))
        called = [_called(bench.scaled(300)) for _ in bench.rounds(11)]
    logging.getLogger("runbus").removeHandler(quiet)
    name, goal = "a call of a flow that does nothing", Goal("<=", 3)
    yield limited(f"{name}, async", [ours for ours, _ in pairs], unit="ms", goal=goal)
    yield limited(f"{name}, sync", called, unit="ms", goal=goal)
    yield compared(f"{name}, async", pairs, unit="ms", versus="three xadds")


async def _awaited(bench: Bench) -> Pairs:
    calls, key, pairs = bench.scaled(300), bench.plain_key(), []
    async with AsyncRedis.from_url(bench.url) as client:

        async def theirs() -> None:
            for _ in range(3):
                await client.xadd(key, plain_fields())

        await rate(lambda: _nothing(1), 30)
        await rate(theirs, 30)
        for _ in bench.rounds(11):
            mine = await rate(lambda: _nothing(1), calls)
            pairs.append((1e3 / mine, 1e3 / await rate(theirs, calls)))
    return pairs


def _called(calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        _nothing_sync(1)
    return (time.perf_counter() - start) / calls * 1e3
