"""Tasks: the one place where they are made.

An event loop refers to its tasks weakly, and tells of an error that nobody has looked at only when
the task is collected. So whoever starts one keeps it: in a variable, for a block, or among `Tasks`.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

T = TypeVar("T")
_log = logging.getLogger("runbus")


def start(
    work: Coroutine[object, None, T], loop: asyncio.AbstractEventLoop | None = None
) -> asyncio.Task[T]:
    """Start work on the loop that runs in this thread; who starts it keeps the task."""
    return (loop or asyncio.get_running_loop()).create_task(work)


@contextmanager
def started(*works: Coroutine[object, None, T]) -> Generator[list[asyncio.Task[T]]]:
    """Let work go on beside the block; what is not done at its end is cancelled."""
    tasks = [start(work) for work in works]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()


class Tasks:
    """Tasks that nobody awaits: each is kept until it is over, and an error is logged."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[object, None, None]) -> asyncio.Task[None]:
        """Start work on the loop that runs in this thread."""
        task = start(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def cancel(self) -> None:
        """Cancel those that are under way."""
        for task in self._tasks:
            task.cancel()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed", task.get_coro(), exc_info=error)
