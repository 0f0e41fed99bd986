"""What is to be had now: several primaries are asked, and one that is away keeps nobody waiting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from runbus.errors import ServerUnreachable
from runbus.supervision.tasks import started

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

T = TypeVar("T")


async def available(
    works: Iterable[Coroutine[object, None, T]], seconds: float, *, needs_one: bool
) -> list[T | None]:
    """Return what these return, None for each that does not within so many seconds.

    One that `needs_one` waits for all as long as none has returned, and raises `ServerUnreachable`
    when none does. Raises whatever else one of them raises.
    """
    with started(*works) as tasks:
        waiting = {*tasks}
        if waiting:
            _, waiting = await asyncio.wait(waiting, timeout=seconds)
        while needs_one and waiting and not any(map(_has_returned, tasks)):
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()  # one of them is raised, of the others nobody need be told
    or_raise = needs_one and not any(map(_has_returned, tasks))
    return [_result(task, or_raise=or_raise) if task.done() else None for task in tasks]


def _has_returned(task: asyncio.Task[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _result(task: asyncio.Task[T], *, or_raise: bool) -> T | None:
    try:
        return task.result()
    except ServerUnreachable:
        if or_raise:
            raise
        return None
