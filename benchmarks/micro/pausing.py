"""Rows about runs that wait for an answer.

Paused: 10,000 async runs in one worker; how many connections it holds (CLIENT LIST), how much
memory a run takes (KB of resident memory, beyond the first hundred), how much CPU the worker uses
while nobody answers (% of one core), and how long it takes until one of them goes on (ms from
before `resume_flow_run`), beside one of a hundred.

Suspended: what a run leaves in the server when it has left its worker (KB, `MEMORY USAGE` of each
of its keys), and how much the server grows by (`used_memory_dataset`), which contains the indexes,
the events and the hints.
"""

from __future__ import annotations

import asyncio
import random
import time
from functools import partial
from itertools import cycle
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.bench import memory_of
from benchmarks.measure import Goal, Row, compared, limited
from benchmarks.micro.deployments import serving
from runbus import resume_flow_run, run_deployment, send_input
from runbus.protocol.keys import TAGS, Keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from redis import Redis

    from benchmarks.bench import Bench
    from benchmarks.child import Child

PAUSED = 10_000
FEW = 100
SUSPENDED = 100
_STARTED_TOGETHER = 50
_PATIENCE_SECONDS = 180.0
_LOOK_AGAIN_SECONDS = 0.05
_PAUSE_SECONDS = 0.005
_IDLE_SECONDS = 5.0


def paused(bench: Bench) -> Iterator[Row]:
    """Many paused runs in one worker."""
    count = bench.scaled(PAUSED)
    with serving(bench) as process, bench.control() as control, bench.settings():
        few = _pause(bench, control, FEW)
        wakes_of_few = _rounds_of_wakes(bench, process, few)
        before = process.ask(["memory"])  # what the first answer has to load is there
        many = [*few, *_pause(bench, control, count - FEW, FEW)]
        memory = (process.ask(["memory"]) - before) / (count - FEW) / 1024
        idle = [_idle_cpu(process) for _ in bench.rounds(5)]
        wakes = _rounds_of_wakes(bench, process, many)
        connections = len(_connections(process, control))
    name = f"paused runs: {count:,}"
    yield limited(f"connections of the worker, {name}", [connections], goal=Goal("<=", 5))
    yield limited(f"memory per run, {name}", [memory], unit="KB", goal=Goal("<=", 14))
    yield limited(f"CPU of the idle worker, {name}", idle, unit="%")
    pairs = [*zip(wakes, wakes_of_few, strict=True)]
    yield compared(f"p50 of a resume, {name}", pairs, unit="ms", versus=f"paused runs: {FEW}")


def suspended(bench: Bench) -> Iterator[Row]:
    """What suspended runs leave in the server."""
    with serving(bench), bench.control() as control, bench.settings():
        _suspend(bench, control, 1, reads=False)  # what all runs share is there now
        before = memory_of(control)
        plain = _suspend(bench, control, SUSPENDED, reads=False)
        grown = (memory_of(control) - before) / SUSPENDED / 1024
        reading = _suspend(bench, control, SUSPENDED, reads=True)
        own = [_bytes_of(bench, control, each) / 1024 for each in plain]
        with_stream = [_bytes_of(bench, control, each) / 1024 for each in reading]
    yield limited("keys of a suspended run", own, unit="KB", goal=Goal("<=", 2))
    yield limited(
        "… with one stream that has an entry", with_stream, unit="KB", goal=Goal("<=", 6.5)
    )
    yield limited("growth of the server per suspended run", [grown], unit="KB")


def _pause(bench: Bench, control: Redis, count: int, there: int = 0) -> list[UUID]:
    ids = asyncio.run(_start("pause/bench", {"times": 1_000_000}, count))
    _wait_for_pending(bench, control, there + count)
    return ids


def _suspend(bench: Bench, control: Redis, count: int, *, reads: bool) -> list[UUID]:
    there = _pending(bench, control)
    ids = asyncio.run(_start("suspend/bench", {"reads": reads}, count, sends=reads))
    _wait_for_pending(bench, control, there + count)
    return ids


async def _start(
    name: str, parameters: dict[str, Any], count: int, *, sends: bool = False
) -> list[UUID]:
    ids: list[UUID] = []
    while len(ids) < count:
        together = range(min(_STARTED_TOGETHER, count - len(ids)))
        started = (run_deployment(name, parameters, timeout=0) for _ in together)
        ids += [run.id for run in await asyncio.gather(*started)]
    if sends:
        for run_id in ids:
            await send_input("go on", run_id)
    return ids


def _wait_for_pending(bench: Bench, control: Redis, count: int) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while _pending(bench, control) < count:
        if time.monotonic() > deadline:
            raise TimeoutError("the runs did not come to wait")
        time.sleep(_LOOK_AGAIN_SECONDS)


def _pending(bench: Bench, control: Redis) -> int:
    with control.pipeline(transaction=False) as pipeline:
        for tag in TAGS:
            pipeline.zcard(Keys(bench.prefix).pending(tag))
        return sum(pipeline.execute())


def _rounds_of_wakes(bench: Bench, process: Child, ids: list[UUID]) -> list[float]:
    chosen = cycle(random.sample(ids, len(ids)))

    async def wake() -> float:
        await asyncio.sleep(_PAUSE_SECONDS)
        began = time.monotonic_ns()
        await resume_flow_run(next(chosen), {"value": "yes"})
        (woken,) = await asyncio.to_thread(partial(process.ask, ["stamps", 1]))
        return (woken - began) / 1e6

    async def rounds() -> list[float]:
        count = bench.scaled(60)
        await wake()
        return [median([await wake() for _ in range(count)]) for _ in bench.rounds(7)]

    return asyncio.run(rounds())


def _idle_cpu(process: Child) -> float:
    before, began = process.ask(["cpu"]), time.monotonic()
    time.sleep(_IDLE_SECONDS)
    used = process.ask(["cpu"]) - before
    return 100 * used / (time.monotonic() - began)


def _connections(process: Child, control: Redis) -> list[str]:
    ports = set(process.ask(["ports"]))
    clients: list[Any] = control.client_list()
    return [each["id"] for each in clients if int(each["addr"].rpartition(":")[2]) in ports]


def _bytes_of(bench: Bench, control: Redis, run_id: UUID) -> int:
    keys = control.scan_iter(match=f"{Keys(bench.prefix).of_run(run_id)}*", count=10_000)
    usages: list[Any] = [control.memory_usage(key, samples=0) for key in keys]
    return sum(usages)
