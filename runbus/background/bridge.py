"""The bridge: one implementation of every verb, for code with and without `await`.

The implementation is async. The only question asked here is whether an event loop is running in
this thread. If it is, the caller gets something to await. If not, the work is done on one
background loop, which all threads of the process share, and the caller blocks until it is done.

A loop may run in a thread and yet not run the code that asks: Playwright's sync API keeps one in a
greenlet, beside the code that uses it. What is on the stack tells.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import signal
import sys
import threading
import warnings
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

from runbus.background.call import Attendance, BackgroundCall
from runbus.errors import MissingAwait, MonkeyPatched
from runbus.green_threads import refuse_green_threads
from runbus.store.bus import bus_of, current_bus
from runbus.store.connection.connection import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

    from runbus.store.sending.receipt import Send

T = TypeVar("T")
ENDING_SECONDS = 3
"""How long the end of the process waits for what has to end, and then for what was cancelled."""


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


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop: uvloop's where that is installed, asyncio's elsewhere."""
    try:
        import uvloop  # late: only who has no loop of their own needs one
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class Background:
    """The background loop and its thread, started at the first use."""

    def __init__(self) -> None:
        self.attendance = Attendance()
        self.ends = False
        """Whether the interpreter ends; what other exit handlers start then, they also stop."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = threading.Lock()
        self._stopping = threading.Lock()
        self._alive = threading.Lock()
        self._takes_calls = True
        self._calls: dict[asyncio.Task[None], BackgroundCall[Any]] = {}

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop; it runs. Raises `MonkeyPatched`."""
        refuse_green_threads()
        while (loop := self._loop) is None:
            self._start()
        return loop

    def submit(self, call: BackgroundCall[Any], present: threading.Lock | None = None) -> None:
        """Start a call; on the loop. One whose caller has left is cancelled, or not begun."""
        if not self._takes_calls:
            return  # as those that are let go: who waits does so until the process has ended
        if present is not None and not call.must_end:
            if not present.locked():
                return
            self.attendance.watch(present, call.cancel_here)
        task = call.start()
        self._calls[task] = call
        task.add_done_callback(partial(self._forget, present))

    def stop(self) -> None:
        """End the loop in order: its bus closes its connections."""
        loop = self._loop
        if loop is None or not self._stopping.acquire(blocking=False):
            return
        try:
            done = taken_lock()
            loop.call_soon_threadsafe(BackgroundCall(loop, self._end, done.release).start)
            done.acquire()
            loop.call_soon_threadsafe(loop.stop)
            with self._alive:
                self._loop = None
        finally:
            self._stopping.release()

    def _start(self) -> None:
        # The new thread does all that must not be done by halves. If an interrupt makes two of
        # them start, the first has the loop, and the other ends.
        started = taken_lock()
        threading.Thread(target=self._run, args=(started,), name="runbus", daemon=True).start()
        started.acquire()

    def _run(self, started: threading.Lock) -> None:
        # Signals are for the main thread: one that came here would not wake it from `input()`.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        with self._starting:
            if self._loop is not None:
                started.release()
                return
            self._alive.acquire()
            self._takes_calls = True
            self._loop = loop = new_event_loop()
        started.release()
        loop.run_forever()
        loop.close()
        self._alive.release()

    def _forget(self, present: threading.Lock | None, task: asyncio.Task[None]) -> None:
        del self._calls[task]
        if present is not None:
            self.attendance.forget(present)

    async def _end(self) -> None:
        self.attendance.look()
        await _wait([task for task, call in self._calls.items() if call.must_end])
        # What still runs has a thread that waits for it, which may not go on now.
        self._takes_calls = False
        for call in self._calls.values():
            call.let_go()
        await _wait(list(self._calls))
        await asyncio.get_running_loop().shutdown_asyncgens()


async def _wait(tasks: list[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=ENDING_SECONDS)


def taken_lock() -> threading.Lock:
    """Return a new lock that is held: whoever acquires it waits for its release."""
    lock = threading.Lock()
    lock.acquire()
    return lock


background = Background()
_inherited: list[Background] = []


def _start_afresh() -> None:
    # Only the forking thread lives on in a child; the old loop is kept, so that nothing closes it.
    global background  # noqa: PLW0603
    _inherited.append(background)
    background = Background()


@atexit.register
def _stop_at_exit() -> None:
    background.ends = True
    with suppress(MonkeyPatched):  # then nobody could wait for its end
        refuse_green_threads()
        background.stop()


os.register_at_fork(after_in_child=_start_afresh)


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


class Finished(Coroutine[object, None, None]):
    """The result of a verb that has blocked until its end, for whoever runs it as a coroutine.

    `asyncio.run(serve())` evaluates its argument before there is a loop, so it blocks there.
    """

    def __await__(self) -> Generator[object, None, None]:
        return
        yield  # what makes this a generator

    def send(self, _: None, /) -> NoReturn:
        """Be over, as coroutines are."""
        raise StopIteration

    def throw(self, *error: Any) -> NoReturn:
        """Raise the error, as coroutines do."""
        raise error[0]

    def close(self) -> None:
        """End, as coroutines do."""


class Pending(Coroutine[object, None, T]):
    """The result of a verb called on an event loop: to be awaited, and good for nothing else.

    Used as if it were the value (`if pause_flow_run(bool):`), it raises `MissingAwait`.
    """

    __hash__ = object.__hash__
    _started: Coroutine[object, None, T] | None = None
    _is_reported = True  # until it is whole: `__init__` may be interrupted

    def __init__(
        self,
        verb: str,
        work: Callable[[], Coroutine[object, None, T]],
        on_await: Callable[[Pending[T]], None] | None = None,
    ) -> None:
        self._verb = verb
        self._work = work
        self._on_await = on_await
        self._is_reported = on_await is not None  # a run will, at its end

    def missing(self) -> MissingAwait:
        """Return the error that says what was forgotten."""
        return MissingAwait(self._verb)

    def __await__(self) -> Generator[object, None, T]:
        return self._coroutine().__await__()

    def send(self, value: None, /) -> object:
        """Take a step, as coroutines do."""
        return self._coroutine().send(value)

    def throw(self, *error: Any) -> object:
        """Take a step with an error, as coroutines do."""
        return self._coroutine().throw(*error)

    def close(self) -> None:
        """End, as coroutines do."""
        self._coroutine().close()

    def _coroutine(self) -> Coroutine[object, None, T]:
        if self._started is None:
            self._started = self._work()
            if self._on_await is not None:
                self._on_await(self)
        return self._started

    def __del__(self) -> None:
        if self._started is None and not self._is_reported:
            warnings.warn(str(self.missing()), RuntimeWarning, stacklevel=1)

    def __repr__(self) -> str:
        return f"<{self.missing()}>"

    def _refuse(self, *_: object) -> NoReturn:
        self._is_reported = True
        raise self.missing()

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse what its value may have; what only libraries look for, it does not have."""
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._refuse()

    __bool__ = __len__ = __int__ = __float__ = __index__ = __neg__ = __abs__ = _refuse
    __iter__ = __aiter__ = __getitem__ = __contains__ = __reversed__ = _refuse
    __add__ = __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = __or__ = __and__ = _refuse
    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __ror__ = __rand__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse


class PendingFlow(Pending[T]):
    """The result of an async flow that sync code called: to be run on an event loop."""

    def missing(self) -> MissingAwait:
        """Return the error that says what was forgotten."""
        name = self._verb
        return MissingAwait(
            f"{name}(…)",
            f"flow {name} is async, and was called in code without `await`",
            f"write `asyncio.run({name}(…))` there, or make that flow async",
        )
