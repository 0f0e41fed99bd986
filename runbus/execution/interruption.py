"""Interrupts reach a flow's code as themselves: where it waits it is told why, and may clean up.

asyncio can only cancel a task, and its code sees no more than that. So the coroutine of a flow is
driven through `delivered`: what the task throws into it passes there, and a cancellation that was
asked for by the flow's own run becomes that run's interrupt.
"""

from __future__ import annotations

from types import coroutine
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

T = TypeVar("T")


@coroutine
def delivered(
    work: Coroutine[object, None, T], reason: Callable[[BaseException], BaseException]
) -> Generator[object, None, T]:
    """Do some work; of what is thrown into it, `reason` says as what it arrives."""
    error: BaseException | None = None
    try:
        while True:
            try:
                waited = work.send(None) if error is None else work.throw(error)
            except StopIteration as end:
                return end.value
            error = None
            try:
                yield waited
            except GeneratorExit:
                work.close()
                raise
            except BaseException as thrown:
                error = reason(thrown)
    finally:
        error = None  # it refers to this frame


def told_apart(error: BaseException, interrupt: BaseException | None) -> BaseException:
    """Return as what an error of a flow counts: a group of tasks wraps an interrupt in its own."""
    if interrupt is None or not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)
    return group if group.subgroup(type(interrupt)) is None else interrupt
