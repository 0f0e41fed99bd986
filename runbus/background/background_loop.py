"""The background loop: one event loop in a thread of its own, which all threads of a process share.

What code without `await` asks for is done on it while its caller blocks. No flow's code runs there.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import threading
from contextlib import suppress
from copy import copy
from functools import partial
from typing import Any

from runbus.background.call import Attendance, BackgroundCall
from runbus.errors import MonkeyPatched
from runbus.green_threads import refuse_green_threads

ENDING_SECONDS = 3
"""How long the end of the process waits for what has to end, and then for what was cancelled."""


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
        self.takes_calls = True
        """Whether it still begins what it is asked for: not when it ends."""
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
        if not self.takes_calls:
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

    def start_afresh(self) -> None:
        """Forget the loop of the process from which this one was forked: its thread is not here."""
        _inherited.append(copy(self))  # kept, so that nothing closes it
        self.__init__()

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
            self.takes_calls = True
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
        self.takes_calls = False
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


@atexit.register
def _stop_at_exit() -> None:
    background.ends = True
    with suppress(MonkeyPatched):  # then nobody could wait for its end
        refuse_green_threads()
        background.stop()


os.register_at_fork(after_in_child=background.start_afresh)
