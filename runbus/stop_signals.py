"""Ctrl-C and SIGTERM, heard by a worker whatever one of its runs does to its event loop."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from runbus import bridge

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Generator[None]:
    """Call `stop` at Ctrl-C and SIGTERM in the block, if this is the thread that hears them.

    On the background loop: the loop of this thread may be blocked by a flow that waits for one of
    its own, and a handler of the loop's would never run.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = bridge.background.loop

    def heard(*_: Any) -> None:
        loop.call_soon_threadsafe(stop)

    before = {each: signal.signal(each, heard) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
