"""The row about an idle worker: what it costs the server while there is nothing to do.

The server's own count of the time in its commands (`INFO commandstats`), as % of one core, while
one worker serves four deployments at the default lease. Nobody else is connected but who asks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Goal, Row, limited
from benchmarks.micro.deployments import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from benchmarks.bench import Bench

IDLE_SECONDS = 60.0
_SETTLE_SECONDS = 3.0
_NOT_THE_WORKER = {"cmdstat_info"}


def idling(bench: Bench) -> Iterator[Row]:
    """Server time per second that a worker is idle."""
    seconds = IDLE_SECONDS / 3 if bench.quick else IDLE_SECONDS
    with serving(bench), bench.control() as control, bench.settings():
        time.sleep(_SETTLE_SECONDS)  # it has connected, and loaded its scripts
        before, began = _microseconds(control), time.monotonic()
        time.sleep(seconds)
        spent = _microseconds(control) - before
        percent = spent / 1e6 / (time.monotonic() - began) * 100
    yield limited("server time of an idle worker", [percent], unit="%", goal=Goal("<=", 0.1))


def _microseconds(control: Redis) -> int:
    # What is called in a script is counted there and by itself: the figure is rather too high.
    stats: dict[str, Any] = control.info("commandstats")
    return sum(each["usec"] for name, each in stats.items() if name not in _NOT_THE_WORKER)
