"""Verbs: what a program calls in the same words in a thread and on an event loop.

No type says both what the call gives in a thread, a `bool` say, and what it gives on a loop,
something to await: a checker does not see where a call stands, and nothing is a `bool` and
awaitable. So a verb has the type of its value, which is what code without `await` gets, and its
other spelling (`apause_flow_run`) that of a coroutine. The plain spelling may be awaited as well,
for a checker too, where it gives nothing (`Pending[None]`) or a class of runbus, which says so by
an `__await__` that only checkers see.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar, overload

from runbus.background import bridge, caller
from runbus.background.pending import Pending
from runbus.execution.current_run import CURRENT, current_flow_run, current_run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")
P = ParamSpec("P")


def pending(
    verb: str,
    work: Callable[[], Coroutine[object, None, T]],
    kind: type[Pending[T]] = Pending,
) -> Pending[T]:
    """Return the awaitable result of a verb; a run that ends before it is awaited fails."""
    bound = CURRENT.get().bound
    if not bound:
        return kind(verb, work)
    run = bound[-1]
    result = kind(verb, work, run.note_awaited)
    run.note_unawaited(result)
    return result


def blocking(work: Callable[[], Coroutine[object, None, T]]) -> T:
    """Do a verb's work and block until it is done, or until the current flow run has to end."""
    run = current_flow_run()
    return caller.run(work if run is None else lambda: run.interruptible(work()))


@overload
def verb(
    name: str, work: Callable[P, Coroutine[object, None, None]], *args: P.args, **kwargs: P.kwargs
) -> Pending[None]: ...
@overload
def verb(
    name: str, work: Callable[P, Coroutine[object, None, T]], *args: P.args, **kwargs: P.kwargs
) -> T: ...
def verb(
    name: str, work: Callable[P, Coroutine[object, None, T]], *args: P.args, **kwargs: P.kwargs
) -> T | Pending[T]:
    """Do a verb's work: in a thread return its value, on an event loop something to await."""
    current_run()
    call = partial(work, *args, **kwargs)
    return pending(name, call) if bridge.on_loop() else blocking(call)
