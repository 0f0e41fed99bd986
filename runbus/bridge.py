"""The bridge: one implementation of every verb, for code with and without `await`.

The implementation is async. The only question asked here is whether an event loop is running in
this thread. If it is, the caller gets something to await. If not, the work is done on one
background loop, which all threads of the process share, and the caller blocks until it is done.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import threading
import warnings
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

from runbus.errors import MissingAwait
from runbus.store import bus

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future as ThreadFuture

    from runbus.store.receipt import Sent

T = TypeVar("T")


def on_loop() -> bool:
    """Whether an event loop is running in this thread."""
    return asyncio._get_running_loop() is not None  # pyright: ignore[reportPrivateUsage]


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
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.ends = False
        """Whether the interpreter ends; what other exit handlers start then, they also stop."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop; it runs."""
        if self._loop is None:
            with self._lock:
                if self._loop is None:
                    self._loop = self._start()
        return self._loop

    def stop(self) -> None:
        """End the loop in order: its bus closes its connections."""
        loop, self._loop = self._loop, None
        if loop is not None:
            asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = new_event_loop()
        self._thread = threading.Thread(target=_run, args=(loop,), name="runbus", daemon=True)
        self._thread.start()
        return loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    # Signals are for the main thread: one that arrives here would not wake it from `input()`.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    loop.run_forever()


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
    background.stop()


os.register_at_fork(after_in_child=_start_afresh)


def run(
    work: Callable[[], Coroutine[Any, Any, T]],
    done: Waits | None = None,
) -> T:
    """Run a coroutine on the background loop and block until it is done, by a lock or by `done`.

    When the wait is interrupted (Ctrl-C), the coroutine is cancelled.
    """
    loop = background.loop
    future: ThreadFuture[T] = asyncio.run_coroutine_threadsafe(work(), loop)
    try:
        wait_for(future, done)
        return future.result()
    except BaseException:
        future.cancel()
        raise
    finally:
        if background.ends:
            background.stop()


class Waits(Protocol):
    """What blocks a thread, as a lock does that is held."""

    def acquire(self) -> object:
        """Block until it is released."""
        ...

    def release(self) -> object:
        """Let the thread go on."""
        ...


def wait_for(future: ThreadFuture[Any], done: Waits | None = None) -> None:
    """Block until a future is done, in one step that a Ctrl-C ends cleanly.

    The condition in `Future.result` may be interrupted between giving up its lock and asking for it
    again, and then raises a RuntimeError.
    """
    if done is None:
        done = threading.Lock()
        done.acquire()
    future.add_done_callback(lambda _, done=done: done.release())
    done.acquire()


def start(work: Callable[[], Coroutine[Any, Any, T]]) -> ThreadFuture[T]:
    """Start a coroutine on the background loop; it may be cancelled from any thread."""
    return asyncio.run_coroutine_threadsafe(work(), background.loop)


async def in_background(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on the background loop, which no flow's code blocks, and await it here."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), background.loop))


def send(sent: Sent) -> None:
    """Send an input. On a loop it is under way on return, in a thread it is stored."""
    loop = asyncio._get_running_loop()  # pyright: ignore[reportPrivateUsage]
    if loop is not None:
        bus.of(loop).outbox.send(sent)
        return
    sent.awaited = True
    background.loop.call_soon_threadsafe(_send_in_background, sent)
    try:
        sent.wait()
    finally:
        if background.ends:
            background.stop()


def _send_in_background(sent: Sent) -> None:
    try:
        bus.current().outbox.send(sent)
    except Exception as error:
        sent.settle(None, error, duplicate=False)


class Finished(Coroutine[Any, Any, None]):
    """The result of a verb that has blocked until its end, for whoever runs it as a coroutine.

    `asyncio.run(serve())` evaluates its argument before there is a loop, so it blocks there.
    """

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield  # what makes this a generator

    def send(self, _: Any, /) -> NoReturn:
        """Be over, as coroutines are."""
        raise StopIteration

    def throw(self, *error: Any) -> NoReturn:
        """Raise the error, as coroutines do."""
        raise error[0]

    def close(self) -> None:
        """End, as coroutines do."""


class Pending(Coroutine[Any, Any, T]):
    """The result of a verb called on an event loop: to be awaited, and good for nothing else.

    Used as if it were the value (`if pause_flow_run(bool):`), it raises `MissingAwait`.
    """

    __hash__ = object.__hash__

    def __init__(
        self,
        verb: str,
        work: Callable[[], Coroutine[Any, Any, T]],
        on_await: Callable[[Pending[T]], None] | None = None,
    ) -> None:
        self.verb = verb
        self._work = work
        self._on_await = on_await
        self._started: Coroutine[Any, Any, T] | None = None
        self._is_reported = on_await is not None  # a run will, at its end

    def __await__(self) -> Generator[Any, Any, T]:
        return self._coroutine().__await__()

    def send(self, value: Any, /) -> Any:
        """Take a step, as coroutines do."""
        return self._coroutine().send(value)

    def throw(self, *error: Any) -> Any:
        """Take a step with an error, as coroutines do."""
        return self._coroutine().throw(*error)

    def close(self) -> None:
        """End, as coroutines do."""
        self._coroutine().close()

    def _coroutine(self) -> Coroutine[Any, Any, T]:
        if self._started is None:
            self._started = self._work()
            if self._on_await is not None:
                self._on_await(self)
        return self._started

    def __del__(self) -> None:
        if self._started is None and not self._is_reported:
            warnings.warn(str(MissingAwait(self.verb)), RuntimeWarning, stacklevel=1)

    def __repr__(self) -> str:
        return f"<the result of {self.verb}: write `await {self.verb}`>"

    def _refuse(self, *_: object) -> NoReturn:
        self._is_reported = True
        raise MissingAwait(self.verb)

    __bool__ = __len__ = __int__ = __float__ = _refuse
    __iter__ = __aiter__ = __getitem__ = __contains__ = __add__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
