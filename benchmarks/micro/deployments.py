"""Rows about deployments: runs per second (/s) through one worker, and the time (ms) to a line.

The other side does the same with docket: `await docket.add(task)(…)`, then `get_result()`.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from docket import Docket

from benchmarks.child import Child, child
from benchmarks.measure import Goal, Row, compared, limited, rate
from benchmarks.micro.docket_worker import nothing
from runbus import resume_flow_run, run_deployment
from runbus.client import get_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from benchmarks.measure import Pairs

TASKS = 50
_PATIENCE_SECONDS = 30.0
_LOOK_AGAIN_SECONDS = 0.002
_PAUSE_SECONDS = 0.005


def to_results(bench: Bench) -> Iterator[Row]:
    """`run_deployment` of a flow that does nothing, until its result is here, beside docket."""
    with serving(bench), child("micro.docket_worker", url=bench.url, name=_docket_name(bench)):
        at_once, singly = asyncio.run(_to_results(bench))
    name, versus = "run_deployment to its result", "docket add, get_result"
    yield compared(f"{name}, {TASKS} tasks", at_once, unit="/s", versus=versus, goal=Goal(">=", 2))
    yield compared(f"{name}, one at a time", singly, unit="/s", versus=versus)


def _docket_name(bench: Bench) -> str:
    return f"{bench.prefix}:docket"


async def _to_results(bench: Bench) -> tuple[Pairs, Pairs]:
    at_once: list[tuple[float, float]] = []
    singly: list[tuple[float, float]] = []
    async with Docket(name=_docket_name(bench), url=bench.url) as docket:
        docket.register(nothing)

        async def ours() -> None:
            run = await run_deployment("nothing/bench", {"number": 1})
            assert run.state.result() == 1

        async def theirs() -> None:
            execution = await docket.add(nothing)(number=1)
            assert await execution.get_result() == 1

        with bench.settings():
            await rate(ours, TASKS * 4, TASKS)
            await rate(theirs, TASKS * 4, TASKS)
            for _ in bench.rounds():
                many, few = bench.scaled(900), bench.scaled(150)
                at_once.append((await rate(ours, many, TASKS), await rate(theirs, many, TASKS)))
                singly.append((await rate(ours, few), await rate(theirs, few)))
    return at_once, singly


def first_lines(bench: Bench) -> Iterator[Row]:
    """From `run_deployment`, and from the answer of a suspended run, to the flow's first line."""
    with serving(bench) as process, bench.settings():
        starts, resumes = asyncio.run(_first_lines(bench, process))
    yield limited("run_deployment to the first line, p50", starts, unit="ms", goal=Goal("<=", 5))
    yield limited(
        "answer of a suspended run to its first line, p50", resumes, unit="ms", goal=Goal("<=", 10)
    )


async def _first_lines(bench: Bench, process: Child) -> tuple[list[float], list[float]]:
    starts: list[float] = []
    resumes: list[float] = []
    await _start(process)
    await _resume(process)
    for _ in bench.rounds():
        starts.append(median([await _start(process) for _ in range(bench.scaled(60))]))
        resumes.append(median([await _resume(process) for _ in range(bench.scaled(30))]))
    return starts, resumes


async def _start(process: Child) -> float:
    await asyncio.sleep(_PAUSE_SECONDS)  # the worker is idle
    began = time.monotonic_ns()
    await run_deployment("first-line/bench", timeout=0)
    return await _milliseconds_since(began, process)


async def _resume(process: Child) -> float:
    run = await run_deployment("suspend/bench", {"reads": False}, timeout=0)
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while (await get_client().read_flow_run(run.id)).state.name != "Suspended":
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    await asyncio.sleep(_PAUSE_SECONDS)
    began = time.monotonic_ns()
    await resume_flow_run(run.id, {"value": "yes"})
    return await _milliseconds_since(began, process)


async def _milliseconds_since(began: int, process: Child) -> float:
    (stamp,) = await asyncio.to_thread(partial(process.ask, ["stamps", 1]))
    return (stamp - began) / 1e6


@contextmanager
def serving(bench: Bench) -> Iterator[Child]:
    """Serve the flows of `served` in a process of its own."""
    with child("micro.served", url=bench.url, prefix=bench.prefix) as process:
        with bench.control() as control:
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while not control.exists(f"{bench.prefix}:deployment:{{pause/bench}}"):
                if time.monotonic() > deadline:
                    raise TimeoutError("the worker does not serve")
                time.sleep(_LOOK_AGAIN_SECONDS)
        yield process
