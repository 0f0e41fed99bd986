"""The row about recovery: how many runs of a process that is gone are taken per second (/s).

runbus: one round of `recover_orphaned_runs`, which also tells the workers of each run. The other
side: the same script for each tag, in pipelines of redis-py, until it has nothing more to give, and
nothing of what it gives is read. Before each, a process that does not exist claims as many runs.
"""

from __future__ import annotations

import asyncio
import time
from secrets import token_hex
from typing import TYPE_CHECKING
from uuid import uuid4

from redis.asyncio import Redis as AsyncRedis

from benchmarks.measure import Goal, Row, compared
from runbus.protocol.execution import Owner
from runbus.protocol.keys import TAGS
from runbus.store.bus import Bus, current_bus
from runbus.store.maintenance import recovery
from runbus.store.records import executions, runs
from runbus.store.records.executions import ClaimRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from benchmarks.measure import Pairs

RUNS = 3000
_TOGETHER = 100
_DEPLOYMENT = "nothing/bench"


def recovering(bench: Bench) -> Iterator[Row]:
    """Runs of the dead that are taken, beside the script alone."""
    count = bench.scaled(RUNS)
    with bench.settings():
        pairs = asyncio.run(_measure(bench, count))
    yield compared(
        f"recovery of {count:,} runs",
        pairs,
        unit="/s",
        versus="the script, pipelined bare",
        goal=Goal(">=", 0.5),
    )


async def _measure(bench: Bench, count: int) -> Pairs:
    pairs: list[tuple[float, float]] = []
    async with AsyncRedis.from_url(bench.url) as client:
        await _ours(client, count)  # which makes it connect
        for _ in bench.rounds(7):
            ours = await _ours(client, count)
            pairs.append((ours, await _bare(client, count)))
    return pairs


async def _ours(client: AsyncRedis, count: int) -> float:
    await _orphan(client, count)
    began = time.perf_counter()
    taken = await recovery.recover_orphaned_runs(current_bus())
    await current_bus().notifier.all_told()
    seconds = time.perf_counter() - began
    assert taken == count
    return count / seconds


async def _bare(client: AsyncRedis, count: int) -> float:
    await _orphan(client, count)
    bus = current_bus()
    after = dict.fromkeys(TAGS, "")
    began = time.perf_counter()
    while after:
        async with client.pipeline(transaction=False) as pipeline:
            for tag, start in after.items():
                pipeline.execute_command(*recovery.call(bus, tag, start))
            replies = await pipeline.execute()
        after = {
            tag: reply[0].decode() for tag, reply in zip(after, replies, strict=True) if reply[0]
        }
    seconds = time.perf_counter() - began
    assert await client.zcard(bus.keys.executing(TAGS[0])) == 0
    return count / seconds


async def _orphan(client: AsyncRedis, count: int) -> None:
    """Have a process that is gone execute so many runs, and those who look be sure of it."""
    bus = current_bus()
    length = int(bus.settings.lease_seconds * 1000)
    owner = Owner(process=token_hex(8), lease=f"{length} {token_hex(8)}")
    for _ in range(0, count, _TOGETHER):
        await asyncio.gather(*(_claimed(bus, owner) for _ in range(min(_TOGETHER, count))))
    now = int((await client.time())[0]) * 1000
    async with client.pipeline(transaction=False) as pipeline:
        for tag in TAGS:
            pipeline.delete(bus.keys.lease(tag, owner.process))
            pipeline.hset(bus.keys.pulse(tag), mapping={"since": now - 2 * length, "last": now})
        await pipeline.execute()


async def _claimed(bus: Bus, owner: Owner) -> None:
    run_id = uuid4()
    fields = {"name": "calm-otter", "flow": "nothing", "deployment": _DEPLOYMENT}
    await runs.create(bus, run_id, fields)
    request = ClaimRequest(run_id=run_id, deployment=_DEPLOYMENT, digits=token_hex(4))
    (run,) = await executions.claim(bus, [request], owner)
    assert request.is_answered_by(run)
