"""Blocked loops: says whose code keeps an event loop from turning, so that its neighbours wait.

One thread for the process asks each loop on which a run executes, twice a second, to call it back.
Where that takes over a second, it says which run's code the loop's thread is in, and at the end how
long it took. A loop without runs is not woken, and without any the thread ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import sysconfig
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

BLOCKED_SECONDS = 1.0
"""A loop that has not turned for longer is called blocked."""
ASK_SECONDS = 0.5
"""How often a loop is asked to call back, which wakes it."""
LOOK_SECONDS = 0.25
"""How often the watchdog looks whether it has."""
MOST_NAMES = 5
"""How many runs are named where any of them may be the one."""

_HERE = str(Path(__file__).parent) + os.sep
_ASYNCIO = str(Path(asyncio.__file__).parent) + os.sep
_log = logging.getLogger("runbus.flow_runs")


class WatchedLoop:
    """What is known of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._runs: dict[int, tuple[str, ...]] = {}
        """The names of the runs that execute on it, by the `id` of the task, which is thus not
        kept alive: each was called in the one before."""
        self._thread_id = threading.get_ident()
        self._asked: float | None = None
        self._last_asked = 0.0
        self._blamed: str | None = None

    def begin(self, task: int, run_name: str) -> None:
        """Take note that a task begins to execute a run."""
        self._runs[task] = (*self._runs.get(task, ()), run_name)

    def end(self, task: int) -> None:
        """Take note that it goes on with the run in which that one was called, if with any."""
        if callers := self._runs[task][:-1]:
            self._runs[task] = callers
        else:
            del self._runs[task]

    def look(self) -> None:
        """Judge the loop, and ask it anew; in the watchdog's thread."""
        now, asked = time.monotonic(), self._asked
        if not self.loop.is_running():  # nobody blocks it: it was left, or closed
            self._asked = None
        elif asked is None:
            if now - self._last_asked >= ASK_SECONDS:
                self._ask(now)
        elif self._blamed is None and now - asked >= BLOCKED_SECONDS:
            self._blamed = self._blame()

    def _ask(self, now: float) -> None:
        self._asked = self._last_asked = now
        self._blamed = None
        with suppress(RuntimeError):  # it is closed
            self.loop.call_soon_threadsafe(self._turn, now)

    def _turn(self, asked: float) -> None:
        self._asked = None
        if self._blamed is not None:
            seconds = time.monotonic() - asked
            _log.warning("%s blocked its event loop for %.1f s", self._blamed, seconds)

    def _blame(self) -> str | None:
        place = _place_of(_frame_of(self._thread_id))
        task = asyncio.current_task(self.loop)
        if place is None and task is None:
            return None  # nobody's code is executed: the process stood still, or its machine
        name = self._name(task)
        _log.warning(
            "%s blocks its event loop, at %s: whatever else runs on that loop stands still. Await "
            "there, or call what blocks with `await asyncio.to_thread(…)`",
            *(name, place or "a place that is not known"),
        )
        return name

    def _name(self, task: asyncio.Task[Any] | None) -> str:
        if task is not None and (own := self._runs.get(id(task))):
            return own[-1]
        runs = [name for names in list(self._runs.values()) for name in names]
        if len(runs) == 1:
            return runs[0]
        more = ", …" if len(runs) > MOST_NAMES else ""
        return f"one of {', '.join(runs[:MOST_NAMES])}{more}" if runs else "code without a run"


class Watchdog:
    """The loops that are watched, and the thread that does it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loops: dict[asyncio.AbstractEventLoop, WatchedLoop] = {}
        self._uses: dict[WatchedLoop, int] = {}
        self._thread: threading.Thread | None = None

    def enter(self, loop: asyncio.AbstractEventLoop) -> WatchedLoop:
        """Watch a loop; on its thread."""
        with self._lock:
            watched = self._loops.get(loop)
            if watched is None:
                watched = self._loops[loop] = WatchedLoop(loop)
            self._uses[watched] = self._uses.get(watched, 0) + 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="runbus-loops", daemon=True)
                self._thread.start()
            return watched

    def leave(self, watched: WatchedLoop) -> None:
        """Watch it no more, unless others want it."""
        with self._lock:
            self._uses[watched] -= 1
            if not self._uses[watched]:
                del self._uses[watched], self._loops[watched.loop]

    def start_afresh(self) -> None:
        """Forget the thread, which a forked child has not, and its lock."""
        self._lock = threading.Lock()
        self._thread = None

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            with self._lock:
                watched = list(self._uses)
                if not watched:
                    self._thread = None
                    return
            for each in watched:
                each.look()


_watchdog = Watchdog()


os.register_at_fork(after_in_child=_watchdog.start_afresh)


class watch:  # noqa: N801  (read as a statement: `with watch(loop):`)
    """Say when a loop is blocked while the code in the block is executed, on that loop's thread."""

    __slots__ = ("_loop", "_run_name", "_task", "_watched")

    def __init__(self, loop: asyncio.AbstractEventLoop, run_name: str | None = None) -> None:
        """`run_name` is the run that the current task executes there."""
        self._loop = loop
        self._run_name = run_name

    def __enter__(self) -> None:
        self._watched = _watchdog.enter(self._loop)
        self._task = id(asyncio.current_task(self._loop))
        if self._run_name is not None:
            self._watched.begin(self._task, self._run_name)

    def __exit__(self, *_: object) -> None:
        if self._run_name is not None:
            self._watched.end(self._task)
        _watchdog.leave(self._watched)


def _frame_of(thread_id: int) -> FrameType | None:
    return sys._current_frames().get(thread_id)  # pyright: ignore[reportPrivateUsage]


@cache
def _installed() -> tuple[str, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple(sysconfig.get_path(each) + os.sep for each in names)


def _place_of(frame: FrameType | None) -> str | None:
    """Return where the program's own code is, else that of a package that it uses."""
    of_package: str | None = None
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(_ASYNCIO) and not path.endswith(("tasks.py", "locks.py")):
            break  # the loop itself: what called it does not block it
        place = f"{path}:{frame.f_lineno} ({frame.f_code.co_name})"
        if not path.startswith((_HERE, _ASYNCIO, "<")):
            if not path.startswith(_installed()):
                return place
            of_package = of_package or place
        frame = frame.f_back
    return of_package
