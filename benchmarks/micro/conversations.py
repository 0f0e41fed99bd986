"""Rows about a question and its answer: send, receive, respond, receive; milliseconds (ms).

This process asks, a second one answers. The other side does the same in the same two processes
with redis-py: `xadd`, and `xread(block=…)` of the next entry.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import orjson
from redis.asyncio import Redis as AsyncRedis

from benchmarks.bench import TEXT, Bench, plain_fields
from benchmarks.child import child
from benchmarks.measure import Goal, Row, compared
from benchmarks.micro.delay_proxy import delayed
from runbus import RunInput, receive_input, send_input

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

BLOCK_MS = 2000
_PATIENCE_SECONDS = 30.0


class Note(RunInput):
    """What is sent to and fro."""

    text: str


@dataclass
class Times:
    """How long each exchange took, in ms, a list of each round: runbus's, and the other's."""

    runbus: list[list[float]] = field(default_factory=list)
    plain: list[list[float]] = field(default_factory=list)


class PlainReader:
    """Receives with `xread(block=…)`, one entry at a time."""

    def __init__(self, client: AsyncRedis, key: str) -> None:
        self._client, self._key, self._last = client, key, b"0-0"

    async def next(self) -> object:
        """Wait for the next value."""
        while True:
            found = await self._client.xread({self._key: self._last}, count=1, block=BLOCK_MS)
            for _, entries in found:
                self._last, fields = entries[0]
                return orjson.loads(fields[b"value"])


def direct(bench: Bench) -> Iterator[Row]:
    """Over loopback."""
    yield from _rows(bench, bench.url, "question and answer", 300, Goal("<=", 1.4, aim=1))


def through_proxy(bench: Bench) -> Iterator[Row]:
    """Through a proxy that adds 1 ms each way."""
    with delayed(bench.url) as url:
        yield from _rows(bench, url, "… with 1 ms more each way", 60, Goal("<=", 1.1))


def _rows(bench: Bench, url: str, name: str, exchanges: int, goal: Goal) -> Iterator[Row]:
    answerer = uuid4()
    questions, answers = bench.plain_key(), bench.plain_key()
    with (
        bench.settings(url),
        child(
            "micro.answerer",
            url=url,
            prefix=bench.prefix,
            flow_run_id=str(answerer),
            questions=questions,
            answers=answers,
        ) as process,
    ):
        process.answer()
        times = asyncio.run(_measure(bench, url, answerer, questions, answers, exchanges))
    pairs = [*zip(map(median, times.runbus), map(median, times.plain), strict=True)]
    yield compared(f"{name}, p50", pairs, unit="ms", versus="xadd, xread(block)", goal=goal)
    p99 = [*zip(map(_p99, times.runbus), map(_p99, times.plain), strict=True)]
    yield compared(f"{name}, p99", p99, unit="ms", versus="xadd, xread(block)")


async def _measure(
    bench: Bench, url: str, answerer: UUID, questions: str, answers: str, exchanges: int
) -> Times:
    times, asker = Times(), uuid4()
    inbox = receive_input(Note, flow_run_id=asker, timeout=_PATIENCE_SECONDS)
    async with AsyncRedis.from_url(url) as client:
        reader = PlainReader(client, answers)

        async def ours() -> None:
            await send_input(Note(text=TEXT), answerer, asker)
            await anext(inbox)

        async def theirs() -> None:
            await client.xadd(questions, plain_fields({"text": TEXT}))
            await reader.next()

        await _exchange(ours, 50)
        await _exchange(theirs, 50)
        for _ in bench.rounds(15):
            times.runbus.append(await _exchange(ours, bench.scaled(exchanges)))
            times.plain.append(await _exchange(theirs, bench.scaled(exchanges)))
    return times


async def _exchange(once: Callable[[], Awaitable[None]], times: int) -> list[float]:
    taken: list[float] = []
    async with asyncio.timeout(_PATIENCE_SECONDS):
        for _ in range(times):
            start = time.perf_counter()
            await once()
            taken.append((time.perf_counter() - start) * 1e3)
    return taken


def _p99(numbers: list[float]) -> float:
    return quantiles(numbers, n=100)[98]
