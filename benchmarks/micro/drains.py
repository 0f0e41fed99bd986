"""Rows about receiving a backlog: inputs per second (/s), or microseconds per input (us).

The other side reads the same entries of the same stream with redis-py's `xread(count=500)` and
`orjson.loads`. Each round reads from the first entry on.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
from redis.asyncio import Redis as AsyncRedis

from benchmarks.bench import SENDER, TEXT, Bench
from benchmarks.measure import Goal, Row, compared
from runbus import RunInput, receive_input, send_input

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measure import Pairs

BACKLOG = 100_000
EXCLUDED = 1_000_000


class Order(RunInput):
    """A model of five fields."""

    number: int
    customer: str
    price: float
    express: bool
    tags: list[str]


_ORDER = Order(number=4711, customer="Ada", price=19.5, express=True, tags=["new", "web"])


def texts(bench: Bench) -> Iterator[Row]:
    """A backlog of `str`, beside `xread`."""
    yield from _beside_xread(bench, "str", TEXT)


def models(bench: Bench) -> Iterator[Row]:
    """A backlog of a model of five fields, beside `xread`."""
    yield from _beside_xread(bench, "a model of five fields", _ORDER)


def excluding(bench: Bench) -> Iterator[Row]:
    """A backlog of `str` with `exclude_keys`, beside the same without."""
    keys = {f"str-{uuid4()}" for _ in range(EXCLUDED)}
    pairs = asyncio.run(_excluding(bench, keys))
    yield compared(
        f"drain with {EXCLUDED:,} exclude_keys",
        pairs,
        unit="us",
        versus="without exclude_keys",
        goal=Goal("<=", 1.1),
    )


def _beside_xread(bench: Bench, name: str, value: Any) -> Iterator[Row]:
    pairs = asyncio.run(_drain_both(bench, value))
    yield compared(
        f"drain of {bench.scaled(BACKLOG):,}: {name}",
        pairs,
        unit="/s",
        versus="xread(count=500) + orjson.loads",
        goal=Goal(">=", 0.5, aim=0.7),
    )


async def _drain_both(bench: Bench, value: Any) -> Pairs:
    run_id, size, pairs = uuid4(), bench.scaled(BACKLOG), []
    key = bench.input_key(run_id, type(value).__name__)
    with bench.settings():
        async with AsyncRedis.from_url(bench.url) as client:
            await fill(run_id, value, size)
            await drain(run_id, type(value))
            for _ in bench.rounds():
                mine = _per_second(await drain(run_id, type(value)), size)
                pairs.append((mine, _per_second(await drain_plainly(client, key), size)))
    return pairs


async def _excluding(bench: Bench, keys: set[str]) -> Pairs:
    run_id, size, pairs = uuid4(), bench.scaled(BACKLOG), []
    with bench.settings():
        await fill(run_id, TEXT, size)
        await drain(run_id, str)
        for _ in bench.rounds():
            seconds, count = await drain(run_id, str, keys)
            without = await drain(run_id, str)
            assert count == without[1] == size
            pairs.append((seconds / size * 1e6, without[0] / size * 1e6))
    return pairs


async def fill(run_id: UUID, value: Any, size: int) -> None:
    """Send so many inputs."""
    for start in range(0, size, 1000):
        sends = [send_input(value, run_id, SENDER) for _ in range(start, min(start + 1000, size))]
        for sent in sends:
            await sent


async def drain(
    run_id: UUID, input_type: type[Any], exclude_keys: set[str] | None = None
) -> tuple[float, int]:
    """Receive all that is there; return the seconds that it took and how many there were."""
    start, count = time.perf_counter(), 0
    async for _ in receive_input(
        input_type,
        flow_run_id=run_id,
        timeout=0,
        raise_timeout_error=False,
        exclude_keys=exclude_keys,
    ):
        count += 1
    return time.perf_counter() - start, count


async def drain_plainly(client: AsyncRedis, key: str) -> tuple[float, int]:
    """Do the same with redis-py."""
    start, count, last = time.perf_counter(), 0, b"0-0"
    while found := await client.xread({key: last}, count=500):
        entries = found[0][1]
        for _, fields in entries:
            orjson.loads(fields[b"value"])
            count += 1
        last = entries[-1][0]
    return time.perf_counter() - start, count


def _per_second(drained: tuple[float, int], size: int) -> float:
    seconds, count = drained
    assert count == size, f"{count} of {size} came"
    return size / seconds
