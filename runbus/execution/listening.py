"""Listening: work on the background loop for a run, begun once the run has lasted a moment.

Most runs of a busy worker end before anybody could tell them anything. Those that have begun
together are looked at together; for the ones that go on, listening begins then, and hears what was
said meanwhile, too.
"""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING

from runbus.background.background_loop import background
from runbus.background.call import BackgroundCall

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

MOMENT_SECONDS = 0.05
"""How long a run lasts at most before it is listened for."""


class Listening:
    """What is heard for one run, until it is cancelled; any thread may make and cancel it."""

    def __init__(self, work: Callable[[], Coroutine[object, None, None]]) -> None:
        self._work = work
        self._call: BackgroundCall[None] | None = None
        self._is_over = False
        _start_soon(self)

    def begin(self) -> None:
        """Begin, unless it is over; on the background loop."""
        if self._is_over:
            return
        self._call = call = BackgroundCall(background.loop, self._work, _tell_nobody)
        background.submit(call)
        if self._is_over:  # by another thread, meanwhile
            call.cancel()

    def cancel(self) -> None:
        """Hear no more."""
        self._is_over = True
        if self._call is not None:
            self._call.cancel()


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


def _tell_nobody() -> None:
    pass


def _start_afresh() -> None:
    # What a forked child inherited is its parent's.
    global _lock, _new
    _lock, _new = Lock(), []


os.register_at_fork(after_in_child=_start_afresh)
