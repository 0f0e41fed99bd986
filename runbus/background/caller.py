"""The caller: the thread that a verb blocks, and what of the user's own code it executes meanwhile.

What a verb has to ask of the server is done on the background loop, which all threads share. A
validator, a `load` or a `decode` may take its time, or wait for something, and must hold up nobody
else. So it is done where the verb was called: `in_caller` hands it to the thread that waits for
the verb; on an event loop, where the verb is a part of the caller's task, it simply calls it.
"""

from __future__ import annotations

import asyncio
from contextvars import Context, ContextVar, copy_context
from functools import partial
from inspect import isawaitable
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from runbus.background import bridge
from runbus.background.background_loop import background, new_event_loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

T = TypeVar("T")
LOOK_SECONDS = 0.5
"""How often a verb that waits for its caller looks whether that one is still there."""

_caller: ContextVar[Caller | None] = ContextVar("runbus_caller", default=None)

blocked_loops: ContextVar[frozenset[asyncio.AbstractEventLoop]] = ContextVar(
    "runbus_blocked_loops", default=frozenset()
)
"""The event loops that stand still until the code that looks has ended."""


class Caller:
    """A thread that waits for a verb: it is blocked and released as by a lock."""

    def __init__(self) -> None:
        self.present = Lock()
        """Is held as long as the thread waits, whatever then makes it leave."""
        # Of the queues, the one whose `get` a Ctrl-C may interrupt at any moment.
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    async def accompany(self, work: Callable[[], Coroutine[object, None, T]]) -> T:
        """Do the work of a verb, on the background loop, in this caller's name."""
        _caller.set(self)
        return await work()

    def acquire(self) -> None:
        """Block until the verb is done, and execute what it asks for until then."""
        while (call := self._calls.get()) is not None:
            call()

    def release(self) -> None:
        """Take note that the verb is done."""
        self._calls.put(None)

    async def execute(self, work: Callable[[], Awaitable[T] | T]) -> T:
        """Let the thread execute some work, and return what that returned.

        Raises `CancelledError` if the thread leaves meanwhile.
        """
        done: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        context = copy_context()
        context.run(_caller.set, None)  # it calls verbs in a name of its own
        self._calls.put(partial(_execute, context, work, done))
        while not (await asyncio.wait([done], timeout=LOOK_SECONDS))[0]:
            if not self.present.locked():
                raise asyncio.CancelledError
        value, error = done.result()
        if error is not None:
            raise error
        return value


_Result = tuple[Any, Exception | None]


def run(work: Callable[[], Coroutine[object, None, T]], *, must_end: bool = False) -> T:
    """Do the work of a verb on the background loop, as `bridge.run`, and the user's part here."""
    caller = Caller()
    with caller.present:
        return bridge.run(partial(caller.accompany, work), must_end=must_end, done=caller)


def note_blocked_loop() -> None:
    """Take note that the loop of this thread stands still until this context's code has ended."""
    blocked_loops.set(blocked_loops.get() | {asyncio.get_running_loop()})


async def in_caller(work: Callable[[], Awaitable[T] | T]) -> T:
    """Call code of the user's own where the verb was called; what has to be awaited, is awaited.

    In a thread it is awaited on an event loop of that thread's own, for as long as it takes.
    """
    caller = _caller.get()
    # A task of another loop may have been begun by a verb of somebody else's.
    if caller is not None and asyncio.get_running_loop() is background.loop:
        return await caller.execute(work)
    result: Any = work()
    return await result if isawaitable(result) else result


def _execute(context: Context, work: Callable[[], Any], done: asyncio.Future[_Result]) -> None:
    # What is no `Exception` ends the verb from here, as it does in any code of the thread's.
    try:
        result: _Result = context.run(_value_of, work), None
    except Exception as error:
        result = None, error
    done.get_loop().call_soon_threadsafe(_settle, done, result)


def _value_of(work: Callable[[], Any]) -> Any:
    result = work()
    if not isawaitable(result):
        return result
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_awaited(result))


async def _awaited(result: Awaitable[T]) -> T:
    return await result


def _settle(done: asyncio.Future[_Result], result: _Result) -> None:
    if not done.done():
        done.set_result(result)
