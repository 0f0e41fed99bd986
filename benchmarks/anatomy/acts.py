"""What is taken apart: sends and receives, each for about some seconds."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from benchmarks.bench import SENDER, TEXT
from benchmarks.measure import rate
from benchmarks.micro.drains import drain, fill
from benchmarks.micro.sends import TASKS
from runbus import receive_input, send_input

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Act = Callable[[float], Awaitable[int]]
    """Does it for about so many seconds; returns how many inputs that were."""

_BACKLOG = 20_000
_AT_ONCE = 2000


async def send_from_tasks(seconds: float) -> int:
    """Send from 100 tasks to one stream."""
    return await _repeat(
        seconds, partial(rate, partial(send_input, TEXT, uuid4(), SENDER), _AT_ONCE, TASKS)
    )


async def send_singly(seconds: float) -> int:
    """Send one at a time."""
    send = partial(send_input, TEXT, uuid4(), SENDER)
    return await _repeat(seconds, partial(rate, send, _AT_ONCE))


async def receive_backlog(seconds: float) -> int:
    """Receive what is there."""
    run_id = uuid4()
    await fill(run_id, TEXT, _BACKLOG)
    return await _repeat(seconds, partial(drain, run_id, str), _BACKLOG)


async def send_and_receive(seconds: float) -> int:
    """Send to a receiver of this process that waits, one at a time."""
    run_id, began, count = uuid4(), time.perf_counter(), 0
    inbox = receive_input(str, flow_run_id=run_id)
    while time.perf_counter() - began < seconds:
        await send_input(TEXT, run_id, SENDER)
        await anext(inbox)
        count += 1
    return count


async def _repeat(
    seconds: float, act: Callable[[], Awaitable[object]], inputs: int = _AT_ONCE
) -> int:
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        await act()
        count += inputs
    return count


ALL: dict[str, Act] = {
    f"send, from {TASKS} tasks": send_from_tasks,
    "send, one at a time": send_singly,
    "receive a backlog": receive_backlog,
    "send and receive, one at a time": send_and_receive,
}
