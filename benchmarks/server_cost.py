"""Rows about what a send costs the server: microseconds of its time for each input (us).

Two figures: by command, the time that the server counts for the script (with all that it calls)
and for the plain XADD; by process, the processor time of the whole server, with parsing and
sockets. What is judged is the whole server's: by command, a script that is nothing but one XADD
takes about four times as long as the XADD alone. The other side is redis-py's `xadd` of the same
fields, from as many tasks.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from redis.asyncio import Redis as AsyncRedis

from benchmarks.bench import SENDER, TEXT, Bench, plain_fields
from benchmarks.measure import Goal, Row, compared, rate
from benchmarks.sends import TASKS
from runbus import send_input

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from redis import Redis


class Cost(NamedTuple):
    """Microseconds for each input."""

    by_command: float
    by_process: float


def sending(bench: Bench) -> Iterator[Row]:
    """Sends from 100 tasks, and one at a time."""
    yield from _rows(bench, f"from {TASKS} tasks", TASKS, 12_000, Goal("<=", 2.5))
    yield from _rows(bench, "one at a time", 1, 3000, Goal("<=", 4.5))


def _rows(bench: Bench, name: str, tasks: int, calls: int, goal: Goal) -> Iterator[Row]:
    costs = asyncio.run(_measure(bench, tasks, bench.scaled(calls)))
    for place, figure, judged in ((0, "by command", None), (1, "by process", goal)):
        yield compared(
            f"server time per send {name}, {figure}",
            [(ours[place], theirs[place]) for ours, theirs in costs],
            unit="us",
            versus="plain XADD",
            goal=judged,
        )


async def _measure(bench: Bench, tasks: int, calls: int) -> list[tuple[Cost, Cost]]:
    costs: list[tuple[Cost, Cost]] = []
    key, run_id = bench.plain_key(), uuid4()
    ours = partial(send_input, TEXT, run_id, SENDER)
    with bench.settings(), bench.control() as control:
        async with AsyncRedis.from_url(bench.url) as client:
            theirs = partial(_plain, client, key)
            await rate(ours, 1000, tasks)
            await rate(theirs, 1000, tasks)
            for _ in bench.rounds():
                mine = await _cost(control, "evalsha", ours, calls, tasks)
                costs.append((mine, await _cost(control, "xadd", theirs, calls, tasks)))
    return costs


async def _plain(client: AsyncRedis, key: str) -> None:
    await client.xadd(key, plain_fields())


async def _cost(
    control: Redis, command: str, send: Callable[[], Awaitable[object]], calls: int, tasks: int
) -> Cost:
    before = _spent(control, command)
    await rate(send, calls, tasks)
    after = _spent(control, command)
    inputs = calls // tasks * tasks
    return Cost(*((end - start) / inputs for start, end in zip(before, after, strict=True)))


def _spent(control: Redis, command: str) -> Cost:
    # What a script calls is counted under its own name too; the script's time includes it.
    commands: dict[str, Any] = control.info("commandstats")
    processor: dict[str, Any] = control.info("cpu")
    seconds = processor["used_cpu_user"] + processor["used_cpu_sys"]
    return Cost(commands.get(f"cmdstat_{command}", {}).get("usec", 0), seconds * 1e6)
