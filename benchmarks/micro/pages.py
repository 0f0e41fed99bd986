"""Rows about reading a page of 50 waiting runs while 100,000 runs are stored (ms).

All of them wait: with deadlines, of which the page has the earliest, or without any. The other side
reads as much with redis-py from one place: 50 hashes of a run and 50 of a pause, in one pipeline.
`read_flow_runs` has the newest of those that wait, without what they ask.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from uuid import uuid4

from redis.asyncio import Redis as AsyncRedis

from benchmarks.measure import Goal, Row, compared, limited
from runbus import get_client
from runbus.protocol.execution import Owner
from runbus.protocol.keys import Keys
from runbus.store.bus import current_bus
from runbus.store.records import pause_opening, runs
from runbus.store.records.pause_opening import open_pause

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from benchmarks.bench import Bench
    from benchmarks.measure import Pairs

STORED = 100_000
PAGE = 50
_STORED_TOGETHER = 500
_NOBODY = Owner(process="nobody", lease="60000 nobody")
_FORM = pause_opening.Form(schema=b'{"type": "object"}', shape="object", description="Go on?")
_GOAL = Goal("<=", 10)


def reading(bench: Bench) -> Iterator[Row]:
    """`read_waiting` of the first page, with and without deadlines, and `read_flow_runs`."""
    stored = bench.scaled(STORED)
    for kind, seconds in (("with deadlines", 3600.0), ("without deadlines", None)):
        bench.clean()
        with bench.settings():
            pairs, newest = asyncio.run(_measure(bench, stored, seconds))
        name = f"page of {PAGE} out of {stored:,} waiting, {kind}"
        yield limited(name, [ours for ours, _ in pairs], unit="ms", goal=_GOAL)
        yield compared(name, pairs, unit="ms", versus="the same records, one pipeline")
        yield limited("… the newest by read_flow_runs(state=…)", newest, unit="ms", goal=_GOAL)


async def _measure(bench: Bench, stored: int, seconds: float | None) -> tuple[Pairs, list[float]]:
    for _ in range(0, stored, _STORED_TOGETHER):
        await asyncio.gather(*(_store(seconds) for _ in range(_STORED_TOGETHER)))
    page = await get_client().read_waiting(limit=PAGE)
    ids = [each.run.id for each in page]
    assert len(ids) == PAGE
    pairs: list[tuple[float, float]] = []
    async with AsyncRedis.from_url(bench.url) as client:
        await _read_plainly(client, bench.prefix, ids)
        for _ in bench.rounds(21):
            start = time.perf_counter()
            await get_client().read_waiting(limit=PAGE)
            middle = time.perf_counter()
            await _read_plainly(client, bench.prefix, ids)
            pairs.append(((middle - start) * 1e3, (time.perf_counter() - middle) * 1e3))
    return pairs, [await _read_newest() for _ in bench.rounds(21)]


async def _read_newest() -> float:
    start = time.perf_counter()
    found = await get_client().read_flow_runs(state=["Paused", "Suspended"], limit=PAGE)
    assert len(found) == PAGE
    return (time.perf_counter() - start) * 1e3


async def _store(seconds: float | None) -> None:
    bus, run_id = current_bus(), uuid4()
    fields = {"name": "calm-otter", "flow": "ask"}
    run = await runs.create(bus, run_id, fields, owner=_NOBODY, digits="benchmark")
    await open_pause(bus, run_id, "1", _FORM, timeout=seconds, retry=0, epoch=run.epoch)


async def _read_plainly(client: AsyncRedis, prefix: str, ids: list[UUID]) -> None:
    keys = Keys(prefix)
    async with client.pipeline(transaction=False) as pipeline:
        for run_id in ids:
            pipeline.hgetall(keys.run(run_id))
            pipeline.hgetall(keys.pause(run_id, "1"))
        await pipeline.execute()
