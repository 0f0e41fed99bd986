"""Interrupts reach a flow's code as themselves: where it waits it is told why, and may clean up.

asyncio can only cancel a task, and its code sees no more than that. So the coroutine of a flow is
driven through `delivered`: what the task throws into it passes there, and a cancellation that was
asked for by the flow's own run becomes that run's interrupt.

There it is also a `CancelledError`: a group of tasks that the flow waits for at its end ends its
tasks for that alone, and whatever else cleans up after cancellations does so, too.
"""

from __future__ import annotations

import asyncio
from types import coroutine
from typing import TYPE_CHECKING, TypeVar, cast

from runbus.errors import FlowRunCancelled, FlowRunHandedBack, FlowRunSuspended

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


class _Cancelled(FlowRunCancelled, asyncio.CancelledError):
    pass


class _Suspended(FlowRunSuspended, asyncio.CancelledError):
    pass


class _HandedBack(FlowRunHandedBack, asyncio.CancelledError):
    pass


_AS_CANCELLATIONS = {
    FlowRunCancelled: _Cancelled,
    FlowRunSuspended: _Suspended,
    FlowRunHandedBack: _HandedBack,
}
for _interrupt, _cancellation in _AS_CANCELLATIONS.items():
    _cancellation.__name__ = _cancellation.__qualname__ = _interrupt.__name__
    _cancellation.__module__ = _interrupt.__module__


def as_cancellation(interrupt: BaseException) -> BaseException:
    """Return an interrupt as what is thrown into a flow's code: as a cancellation, too."""
    kind = _AS_CANCELLATIONS.get(type(interrupt))  # type: ignore[arg-type]
    return interrupt if kind is None else kind(interrupt.flow_run_id)  # type: ignore[attr-defined]


def told_apart(error: BaseException, interrupt: BaseException | None) -> BaseException:
    """Return as what an error of a flow counts.

    It was thrown in as a cancellation, too; and a group of tasks wraps it in an error of its own.
    """
    if interrupt is not None and type(error) in _AS_CANCELLATIONS.values():
        return interrupt
    if interrupt is None or not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)
    return group if group.subgroup(type(interrupt)) is None else interrupt
