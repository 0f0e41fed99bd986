"""Green threads: what gevent and eventlet make of Python's threads, with which runbus cannot work.

A call would wait for the background loop, which is a thread, on a lock that stops no thread but
switches between green ones: it hangs.
"""

from __future__ import annotations

import sys

from runbus.errors import MonkeyPatched

MODULES = ("threading", "thread", "socket", "select")
"""Those that runbus cannot do without as they are, by gevent's names and by eventlet's."""


def refuse_green_threads() -> None:
    """Raise `MonkeyPatched` if the modules of threads or sockets are not Python's own any more."""
    for patcher, question in (
        ("gevent.monkey", "is_module_patched"),
        ("eventlet.patcher", "is_monkey_patched"),
    ):
        if patcher in sys.modules:  # it is not imported to ask it
            is_patched = getattr(sys.modules[patcher], question, None)
            patched = [each for each in MODULES if is_patched is not None and is_patched(each)]
            if patched:
                raise MonkeyPatched(patcher.partition(".")[0], patched)
