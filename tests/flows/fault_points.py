"""Runs a script that is killed in the middle of its work: `python fault_points.py <script> …`.

The variable FAULT_POINT is `<module>:<coroutine function>:<n>`. The process kills itself before the
n-th request that it makes to the server inside of that function, counted over all of its calls.
So it dies at each step of the function in turn, from before the first one on. With `:STOP` behind
that it stops there, until it is told to continue.
"""

from __future__ import annotations

import functools
import os
import runpy
import signal
import sys
import threading
from contextvars import ContextVar
from importlib import import_module
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from runbus.store.commands import Commands
from runbus.store.notifier import Notifier
from runbus.store.primaries import Primaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REQUESTS: list[tuple[type, str]] = [
    *((Commands, name) for name in ("command", "together", "script")),
    (Primaries, "each"),
    (Notifier, "tell"),
]
_is_inside: ContextVar[bool] = ContextVar("is_inside", default=False)


def set_fault(point: str) -> None:
    """Watch the function of a fault point, and what it asks."""
    module, path, number, *how = point.split(":")
    *parents, name = path.split(".")
    owner: Any = import_module(module)
    if parents:
        owner = attrgetter(".".join(parents))(owner)
    setattr(owner, name, _marked(getattr(owner, name)))
    is_fatal = map(int(number).__eq__, count(1))
    signal_number = getattr(signal, f"SIG{how[0]}" if how else "SIGKILL")
    for asker, request in REQUESTS:
        setattr(asker, request, _fatal(getattr(asker, request), is_fatal, signal_number))


def _marked(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def call(*arguments: Any, **options: Any) -> Any:
        token = _is_inside.set(True)
        try:
            return await function(*arguments, **options)
        finally:
            _is_inside.reset(token)

    return call


def _fatal(
    request: Callable[..., Any], is_fatal: Iterator[bool], signal_number: int
) -> Callable[..., Any]:
    @functools.wraps(request)
    async def call(*arguments: Any, **options: Any) -> Any:
        if _is_inside.get() and next(is_fatal):
            # To this thread: it goes on for a moment where another one has the signal first.
            signal.pthread_kill(threading.get_ident(), signal_number)
        return await request(*arguments, **options)

    return call


if __name__ == "__main__":
    set_fault(os.environ["FAULT_POINT"])
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
