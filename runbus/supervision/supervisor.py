"""The supervisor: starts a duty that fails again, and ends all of them together.

A task group of anyio in which nothing fails by itself: a duty's error is logged with its name, then
it waits (a doubling, jittered delay) and begins again. Only the end of the group ends a duty.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Self

import anyio

from runbus.errors import RunbusError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from anyio import CancelScope
    from anyio.abc import TaskGroup

    from runbus.supervision.duty import Duty

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
_log = logging.getLogger("runbus")


class Supervisor:
    """Duties of one event loop. In the block they run; its end ends them."""

    _group: TaskGroup
    is_ending = False
    """Whether the block has ended: nothing more is started."""

    async def __aenter__(self) -> Self:
        self._group = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self.is_ending = True
        self._group.cancel_scope.cancel()
        return await self._group.__aexit__(exc_type, exc, traceback)

    def start(self, duty: Duty) -> None:
        """Let a duty run until the end of the block."""
        self._group.start_soon(_keep, duty, self._group.cancel_scope, name=duty.name)

    def spawn(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        """Let work run to its end beside the duties; an error is logged, and ends nothing else."""
        self._group.start_soon(_guarded, work, name, name=name)


async def _keep(duty: Duty, group: CancelScope) -> None:
    delay = FIRST_DELAY
    try:
        while True:
            try:
                await duty.work(duty)
                return
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and _is_told_to_end(group):
                    raise
                delay = FIRST_DELAY if duty.error is None else min(2 * delay, LONGEST_DELAY)
                _log_failure(duty, error, is_news=duty.note_failure(error))
            await anyio.sleep(random.uniform(delay / 2, delay))  # noqa: S311
    finally:
        duty.end()


def _is_told_to_end(group: CancelScope) -> bool:
    # By the group, or by whoever cancels every task of the loop. Else something that the duty
    # waited for was cancelled, and that is a failure like others.
    task = asyncio.current_task()
    return group.cancel_called or (task is not None and task.cancelling() > 0)


async def _guarded(work: Callable[[], Awaitable[None]], name: str) -> None:
    try:
        await work()
    except Exception:
        _log.exception("%s failed", name)


def _log_failure(duty: Duty, error: BaseException, *, is_news: bool) -> None:
    if isinstance(error, RunbusError):
        level = logging.WARNING if is_news else logging.DEBUG
        _log.log(level, "%s failed and begins again: %s", duty.name, error)
    else:
        _log.error("%s failed and begins again", duty.name, exc_info=error)
