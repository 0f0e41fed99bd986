"""The bridge: one implementation of every verb, for code with and without `await`.

The implementation is async. The only question asked here is whether an event loop is running in
this thread. If it is, the caller gets something to await. If not, the work is done on one
background loop, which all threads of the process share, and the caller blocks until it is done.

A loop may run in a thread and yet not run the code that asks: Playwright's sync API keeps one in a
greenlet, beside the code that uses it. What is on the stack tells.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from runbus.background.background_loop import background, taken_lock
from runbus.background.call import BackgroundCall
from runbus.store.bus import bus_of, current_bus
from runbus.store.connection.connection import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import FrameType

    from runbus.store.sending.receipt import Send

T = TypeVar("T")


_ASYNC_CODE = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR


def on_loop() -> bool:
    """Whether an event loop is running in this thread, and runs this code."""
    loop = asyncio._get_running_loop()  # pyright: ignore[reportPrivateUsage]
    return loop is not None and not ("greenlet" in sys.modules and _is_beside(loop))


def _is_beside(loop: asyncio.AbstractEventLoop) -> bool:
    greenlets: Any = sys.modules["greenlet"]
    if type(loop).__module__ == "uvloop" or greenlets.getcurrent().parent is not None:
        return False  # a loop that leaves no trace on the stack, or maybe on the parent's
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        is_async = frame.f_code.co_flags & _ASYNC_CODE
        if is_async or frame.f_globals.get("__name__") == "asyncio.events":
            return False  # a coroutine, or a callback of the loop
        frame = frame.f_back
    return True


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that is running in this thread, if one is."""
    return asyncio._get_running_loop()  # pyright: ignore[reportPrivateUsage]


class Handshake(Protocol):
    """What a thread blocks on until the background loop releases it: a lock, for one."""

    def acquire(self) -> object:
        """Block until it is released."""
        ...

    def release(self) -> None:
        """Let the thread go on."""
        ...


def run(
    work: Callable[[], Coroutine[object, None, T]],
    *,
    must_end: bool = False,
    done: Handshake | None = None,
) -> T:
    """Run a coroutine on the background loop and block until it is done, by a lock or by `done`.

    When the wait is interrupted (Ctrl-C), wherever that is, the coroutine is cancelled; one that
    `must_end` goes on.
    """
    done = taken_lock() if done is None else done
    call = BackgroundCall(background.loop, work, done.release, must_end=must_end)
    _hand_over(partial(background.submit, call), done)
    return call.result()


def _hand_over(step: Callable[[threading.Lock], object], done: Handshake) -> None:
    """Let the loop take a step, and block until `done` is released."""
    current, present = background, threading.Lock()
    loop = current.loop
    try:
        with present:
            loop.call_soon_threadsafe(step, present)
            done.acquire()
    except BaseException:
        loop.call_soon_threadsafe(current.attendance.look)
        raise
    finally:
        if current.ends:
            current.stop()


def start(work: Callable[[], Coroutine[object, None, T]]) -> BackgroundCall[T]:
    """Start a coroutine on the background loop; it may be cancelled from any thread."""
    call = BackgroundCall(background.loop, work, _tell_nobody)
    background.loop.call_soon_threadsafe(background.submit, call)
    return call


async def in_background(work: Callable[[], Coroutine[object, None, T]]) -> T:
    """Run a coroutine on the background loop, which no flow's code blocks, and await it here."""
    loop, own_loop = background.loop, asyncio.get_running_loop()
    if loop is own_loop:
        return await work()
    done: asyncio.Future[None] = own_loop.create_future()
    call = BackgroundCall(loop, work, partial(_settle_there, done))
    loop.call_soon_threadsafe(background.submit, call)
    try:
        await done
    except BaseException:  # it is cancelled, or its flow is
        call.cancel()
        raise
    return call.result()


def _settle_there(done: asyncio.Future[None]) -> None:
    with suppress(RuntimeError):  # its loop has ended meanwhile
        done.get_loop().call_soon_threadsafe(settle, done, None)


def when_left(present: threading.Lock, end: Callable[[], Coroutine[object, None, None]]) -> None:
    """Do work, to its end, when the thread that holds a lock has left. On the background loop."""
    call = BackgroundCall(background.loop, end, _tell_nobody, must_end=True)
    background.attendance.watch(present, partial(background.submit, call))


def forget(present: threading.Lock) -> None:
    """Do nothing any more when a thread has left. On the background loop."""
    background.attendance.forget(present)


def look() -> None:
    """Look at once which threads have left: who leaves calls this."""
    background.loop.call_soon_threadsafe(background.attendance.look)


def _tell_nobody() -> None:
    pass


def send(sent: Send) -> None:
    """Send an input. On a loop it is under way on return, in a thread it is stored."""
    loop = asyncio._get_running_loop()  # pyright: ignore[reportPrivateUsage]
    if loop is not None and on_loop():
        bus_of(loop).outbox.send(sent)
        return
    done = taken_lock()
    sent.wait_with(done)
    _hand_over(partial(_send_in_background, sent), done)
    sent.result()


def _send_in_background(sent: Send, _: threading.Lock) -> None:
    # Whether its caller is still there or not: it may well have been told that it was sent.
    try:
        current_bus().outbox.send(sent)
    except Exception as error:
        sent.settle(None, error, duplicate=False)
