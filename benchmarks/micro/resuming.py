"""Rows about a paused run's answer: ms from before the call until the flow goes on, elsewhere.

The other sides wake the same process with an input (`send_input`, `receive_input`), and with a
plain entry (redis-py's `xadd` and `xread(block=…)`).
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from redis.asyncio import Redis as AsyncRedis

from benchmarks.bench import TEXT, Bench, plain_fields
from benchmarks.child import Child, child
from benchmarks.measure import Goal, Row, compared
from runbus import get_client, resume_flow_run, send_input

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    Times = tuple[list[float], list[float], list[float]]

_PATIENCE_SECONDS = 30.0
_LOOK_AGAIN_SECONDS = 0.002
_PAUSE_SECONDS = 0.002


def resuming(bench: Bench) -> Iterator[Row]:
    """`resume_flow_run` until the flow goes on, in another process."""
    receiver, plain = uuid4(), bench.plain_key()
    given = {"url": bench.url, "prefix": bench.prefix, "receiver": str(receiver), "plain": plain}
    with bench.settings(), child("micro.waking", **given) as process:
        paused = UUID(process.answer())
        answers, inputs, entries = asyncio.run(_measure(bench, process, paused, receiver, plain))
    name = "resume until the flow goes on, p50"
    sides = (
        ("send, receive", inputs, Goal("<=", 3)),
        ("xadd, xread(block)", entries, None),
    )
    for versus, other, goal in sides:
        pairs = [*zip(answers, other, strict=True)]
        yield compared(name, pairs, unit="ms", versus=versus, goal=goal)


async def _measure(bench: Bench, process: Child, paused: UUID, receiver: UUID, plain: str) -> Times:
    times: Times = [], [], []
    async with AsyncRedis.from_url(bench.url) as client:
        sides: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            ("answer", lambda: resume_flow_run(paused, {"value": TEXT})),
            ("input", lambda: send_input(TEXT, receiver)),
            ("plain", lambda: client.xadd(plain, plain_fields())),
        ]
        for name, call in sides:
            await _wakes(process, paused, name, call, 20)
        for _ in bench.rounds(11):
            for (name, call), found in zip(sides, times, strict=True):
                found.append(await _wakes(process, paused, name, call, bench.scaled(90)))
    return times


async def _wakes(
    process: Child, paused: UUID, name: str, call: Callable[[], Awaitable[object]], count: int
) -> float:
    taken: list[float] = []
    for _ in range(count):
        await _until_paused(paused)  # for each side, so that all do the same
        began = time.monotonic_ns()
        await call()
        woken = await asyncio.to_thread(partial(process.ask, name))
        taken.append((woken - began) / 1e6)
    return median(taken)


async def _until_paused(flow_run_id: UUID) -> None:
    await asyncio.sleep(_PAUSE_SECONDS)
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not (await get_client().read_flow_run(flow_run_id)).state.is_paused():
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
