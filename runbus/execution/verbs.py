"""Verbs: what a program calls in the same words in a thread and on an event loop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from runbus.background import bridge, caller
from runbus.execution.current_run import CURRENT, current_flow_run, current_run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


def pending(verb: str, work: Callable[[], Coroutine[Any, Any, T]]) -> bridge.Pending[T]:
    """Return the awaitable result of a verb; a run that ends before it is awaited fails."""
    bound = CURRENT.get().bound
    if not bound:
        return bridge.Pending(verb, work)
    run = bound[-1]
    result = bridge.Pending(verb, work, run.note_awaited)
    run.note_unawaited(result)
    return result


def blocking(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do a verb's work and block until it is done, or until the current flow run has to end."""
    run = current_flow_run()
    return caller.run(work if run is None else lambda: run.interruptible(work()))


def verb(name: str, work: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
    """Do a verb's work: in a thread return its value, on an event loop something to await."""
    current_run()
    call = partial(work, *args)
    return pending(name, call) if bridge.on_loop() else blocking(call)
