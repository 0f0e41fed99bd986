"""Rows about what a send costs the server: its time (us) and its memory (bytes) for each input.

Of the time, two figures: by command, what the server counts for the script (with all that it
calls) and for the plain XADD; by process, the processor time of the whole server, with parsing and
sockets. What is judged is the whole server's: by command, a script that is nothing but one XADD
takes about four times as long as the XADD alone. The other side is redis-py's `xadd` of the same
fields, from as many tasks.

Of the memory, all by which the server grows, beside the same entries added to a stream by
themselves. With a `key` of the caller's own, the run keeps a mark of it beside the entry.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from redis.asyncio import Redis as AsyncRedis

from benchmarks.bench import SENDER, TEXT, Bench, memory_of, plain_fields
from benchmarks.measure import Goal, Row, compared, rate
from benchmarks.micro.sends import TASKS
from runbus import send_input

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from uuid import UUID

    from redis import Redis


STORED = 10_000


class Cost(NamedTuple):
    """Microseconds for each input."""

    by_command: float
    by_process: float


def sending(bench: Bench) -> Iterator[Row]:
    """Sends from 100 tasks, and one at a time."""
    yield from _rows(bench, f"from {TASKS} tasks", TASKS, 12_000, Goal("<=", 2.5, aim=2))
    yield from _rows(bench, "one at a time", 1, 3000, Goal("<=", 4.5))


def storing(bench: Bench) -> Iterator[Row]:
    """Inputs that stay on their stream, without and with keys of the sender's own."""
    count = bench.scaled(STORED)
    for name, own_key, goal in (("", False, Goal("<=", 1.3)), (", with own keys", True, None)):
        yield compared(
            f"bytes per stored input{name}",
            [_stored_bytes(bench, count, own_key=own_key) for _ in bench.rounds(3)],
            unit="B",
            versus="the bare entry",
            goal=goal,
        )


def _stored_bytes(bench: Bench, count: int, *, own_key: bool) -> tuple[float, float]:
    run_id, bare = uuid4(), bench.plain_key()
    with bench.settings(), bench.control() as control:
        empty = memory_of(control)
        asyncio.run(_send_all(run_id, count, own_key=own_key))
        sent = memory_of(control)
        entries: Any = control.xrange(bench.input_key(run_id, "str"))
        for _, fields in entries:
            control.xadd(bare, fields)
        ours, theirs = sent - empty, memory_of(control) - sent
        bench.clean()
    return ours / count, theirs / count


async def _send_all(run_id: UUID, count: int, *, own_key: bool) -> None:
    await asyncio.gather(
        *(
            send_input(TEXT, run_id, SENDER, key=f"order {number}" if own_key else None)
            for number in range(count)
        )
    )


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
