"""The side of redis-py: the same entries, written and read by hand."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from benchmarks.bench import Bench, plain_fields
from benchmarks.compare.side import BACKLOG, CHECKED, KEPT, ORDER, REPEATED, RESTART, Side
from benchmarks.micro.conversations import PlainReader
from benchmarks.micro.drains import drain_plainly

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_GUARANTEES = {
    REPEATED: "is tried again by the client and may be stored twice",
    ORDER: "that of one connection",
    RESTART: "begins where the program says",
    CHECKED: "nothing",
    KEPT: "Redis",
}


@asynccontextmanager
async def side(bench: Bench) -> AsyncIterator[Side]:
    """`xadd`; `xread(block=…)` or `xread(count=500)`, and `orjson.loads`."""
    key, waited, backlog = bench.plain_key(), bench.plain_key(), bench.plain_key()
    async with Redis.from_url(bench.url) as client:
        await _fill(client, backlog)
        reader = PlainReader(client, waited)

        async def exchange() -> None:
            await client.xadd(waited, plain_fields())
            await reader.next()

        yield Side(
            name="redis-py",
            guarantees=_GUARANTEES,
            store=lambda: client.xadd(key, plain_fields()),
            exchange=exchange,
            drain=partial(_drain, client, backlog),
        )


async def _fill(client: Redis, key: str) -> None:
    async with client.pipeline(transaction=False) as pipeline:
        for _ in range(BACKLOG):
            pipeline.xadd(key, plain_fields())
        await pipeline.execute()


async def _drain(client: Redis, key: str) -> None:
    _, count = await drain_plainly(client, key)
    assert count == BACKLOG
