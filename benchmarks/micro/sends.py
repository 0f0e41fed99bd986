"""Rows about `send_input`: inputs per second (/s), each awaited until it is stored.

The other side stores the same fields with redis-py's `xadd`, or the same text with FastStream.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from redis.asyncio import Redis as AsyncRedis

from benchmarks.bench import SENDER, TEXT, Bench, plain_fields
from benchmarks.measure import Goal, Row, compared, rate
from runbus import send_input

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.measure import Pairs

TASKS = 100
_FASTSTREAM_TASKS = 40


def one_at_a_time(bench: Bench) -> Iterator[Row]:
    """`await send_input` in a loop, beside `await xadd` in a loop."""
    pairs = asyncio.run(_one_at_a_time(bench))
    yield compared(
        "await send_input, one at a time",
        pairs,
        unit="/s",
        versus="redis-py asyncio xadd",
        goal=Goal(">=", 0.9, aim=1.1),
    )


async def _one_at_a_time(bench: Bench) -> Pairs:
    ours = partial(send_input, TEXT, uuid4(), SENDER)
    key, calls, pairs = bench.plain_key(), bench.scaled(3000), []
    async with AsyncRedis.from_url(bench.url) as client:
        with bench.settings():
            await rate(ours, 500)
            await rate(lambda: client.xadd(key, plain_fields()), 500)
            for _ in bench.rounds(11):
                mine = await rate(ours, calls)
                pairs.append((mine, await rate(lambda: client.xadd(key, plain_fields()), calls)))
    return pairs


def many_tasks(bench: Bench) -> Iterator[Row]:
    """`await send_input` from 100 tasks to one stream, beside FastStream's `publish` from 40."""
    pairs = asyncio.run(_many_tasks(bench))
    yield compared(
        f"await send_input, {TASKS} tasks, one stream",
        pairs,
        unit="/s",
        versus=f"FastStream publish, {_FASTSTREAM_TASKS} tasks",
        goal=Goal(">=", 4, aim=8),
    )


async def _many_tasks(bench: Bench) -> Pairs:
    from faststream.redis import RedisBroker  # slow to import, and only this row needs it

    ours = partial(send_input, TEXT, uuid4(), SENDER)
    pairs: list[tuple[float, float]] = []
    async with RedisBroker(bench.url) as broker:
        theirs = partial(broker.publish, TEXT, stream=bench.plain_key())
        with bench.settings():
            await rate(ours, 2000, TASKS)
            await rate(theirs, 1000, _FASTSTREAM_TASKS)
            for _ in bench.rounds():
                mine = await rate(ours, bench.scaled(30_000), TASKS)
                pairs.append((mine, await rate(theirs, bench.scaled(3000), _FASTSTREAM_TASKS)))
    return pairs


def in_a_script(bench: Bench) -> Iterator[Row]:
    """`send_input` in a thread without an event loop, beside redis-py's sync `xadd`."""
    key, calls, pairs = bench.plain_key(), bench.scaled(3000), []
    ours = partial(send_input, TEXT, uuid4(), SENDER)
    with bench.control() as client, bench.settings():
        _sync_rate(ours, 300)
        _sync_rate(lambda: client.xadd(key, plain_fields()), 300)
        for _ in bench.rounds(11):
            mine = _sync_rate(ours, calls)
            pairs.append((mine, _sync_rate(lambda: client.xadd(key, plain_fields()), calls)))
    yield compared(
        "send_input in a plain script",
        pairs,
        unit="/s",
        versus="redis-py xadd",
        goal=Goal(">=", 0.5, aim=0.7),
    )


def _sync_rate(send: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        send()
    return calls / (time.perf_counter() - start)
