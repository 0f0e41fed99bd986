"""Listening: on the background loop, which no flow's code blocks, to what a run is told.

Most runs of a busy worker end before anybody could tell them anything. So it begins once a run has
lasted a moment, for those together that have begun together, and hears what was said meanwhile.
"""

from __future__ import annotations

import os
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING

from runbus.background.background_loop import background
from runbus.errors import FlowRunCancelled, FlowRunSuspended
from runbus.store.bus import bus_for
from runbus.store.records.control import Signals

if TYPE_CHECKING:
    from runbus.execution.run_context import RunningFlow
    from runbus.settings import Settings

MOMENT_SECONDS = 0.05
"""How long a run lasts at most before it is listened for."""


class Listening:
    """What is heard for one run, until it is cancelled; any thread may make and cancel it."""

    __slots__ = ("_is_over", "_run", "_settings", "_signals")

    def __init__(self, run: RunningFlow, settings: Settings) -> None:
        self._run = run
        self._settings = settings
        self._signals: Signals | None = None
        self._is_over = False
        _start_soon(self)

    def begin(self) -> None:
        """Begin, unless it is over; on the background loop."""
        if self._is_over or not background.takes_calls:
            return
        run = self._run
        self._signals = Signals(bus_for(self._settings), run.run_id, run.epoch, self._tell)
        if self._is_over:  # by another thread, meanwhile
            self._signals.close()

    def cancel(self) -> None:
        """Hear no more."""
        self._is_over = True
        if self._signals is not None:
            with suppress(RuntimeError):  # that loop has ended
                self._signals.bus.loop.call_soon_threadsafe(self._signals.close)

    def _tell(self, signal: str) -> None:
        if signal == "cancel":
            self._run.end(FlowRunCancelled(self._run.run_id))
        elif signal == "suspend":
            self._run.end(FlowRunSuspended(self._run.run_id))


_lock = Lock()
_new: list[Listening] = []


def _start_soon(listening: Listening) -> None:
    with _lock:
        is_first = not _new
        _new.append(listening)
    if is_first:
        loop = background.loop
        loop.call_soon_threadsafe(loop.call_later, MOMENT_SECONDS, _begin_all)


def _begin_all() -> None:
    global _new
    with _lock:
        begun, _new = _new, []
    for listening in begun:
        listening.begin()


def _start_afresh() -> None:
    # What a forked child inherited is its parent's.
    global _lock, _new
    _lock, _new = Lock(), []


os.register_at_fork(after_in_child=_start_afresh)
