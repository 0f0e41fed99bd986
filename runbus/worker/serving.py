"""Serving: a worker from its start to its end, with the signals that end it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from runbus.background import bridge, lease_holder
from runbus.protocol.printed import one_line
from runbus.store.bus import current_bus
from runbus.worker.deployment import Deployment, check_served
from runbus.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from runbus.background.lease_holder import LeaseHolder

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NAMING_SECONDS = 0.5
"""How long naming what is lost may take when the process is to end at once."""
_log = logging.getLogger("runbus.flow_runs")


async def aserve(*served: Deployment, limit: int | None = None) -> None:
    """Execute the runs of deployments until Ctrl-C, SIGTERM or cancellation.

    The first signal lets runs that execute go on for a grace time; the second ends the process.
    Raises `SystemExit` when ends of runs could not be recorded; they are named.
    """
    check_served(served, limit)
    worker, holder = Worker(served, limit), lease_holder.of(current_bus().settings)
    from runbus.monitoring.health_server import monitored  # late: it imports an HTTP server

    with _stopped_by_signals(worker.stop, holder), monitored(worker.slots):
        await worker.run()
        left = await asyncio.to_thread(holder.unrecorded)
        lease_holder.say_unrecorded(left)
    if left:
        raise SystemExit(1)


def serve(*served: Deployment, limit: int | None = None) -> Any:
    """Execute the runs of deployments until Ctrl-C or SIGTERM. See `Flow.serve`."""
    if bridge.on_loop():
        return bridge.Pending("serve()", lambda: aserve(*served, limit=limit))
    with asyncio.Runner(loop_factory=bridge.new_event_loop) as runner:
        runner.run(aserve(*served, limit=limit))
    return bridge.Finished()


@contextmanager
def _stopped_by_signals(stop: Callable[[], None], holder: LeaseHolder) -> Generator[None]:
    # On the background loop: the loop of this thread may be blocked by a flow, and a handler of
    # the loop's own would never run.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, heard = bridge.background.loop, 0

    def hear(number: int, _: Any) -> None:
        nonlocal heard
        heard += 1
        if heard > 1:
            _end_at_once(number, holder)
        loop.call_soon_threadsafe(stop)

    before = {each: signal.signal(each, hear) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _end_at_once(number: int, holder: LeaseHolder) -> None:
    # What it executes is found by others when its leases have ended.
    _say("ended at once; others go on with its runs")
    # In a thread: this one may have been interrupted while it had the lock of what is held.
    naming = threading.Thread(target=_name_kept, args=(holder,), daemon=True)
    naming.start()
    naming.join(NAMING_SECONDS)
    os._exit(128 + number)


def _name_kept(holder: LeaseHolder) -> None:
    for end in holder.holdings.kept_ends():
        _say(str(end))


def _say(line: str) -> None:
    # Not by a logger, whose lock may be held as well.
    os.write(sys.stderr.fileno(), f"{one_line(line)}\n".encode())
