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

from runbus import bridge
from runbus.background import lease_holder
from runbus.store import bus
from runbus.worker.deployment import Deployment, check_served
from runbus.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

SIGNALS = (signal.SIGINT, signal.SIGTERM)
UNRECORDED_SECONDS = 5.0
"""How long a worker that ends waits for ends of runs that are not recorded yet."""
_log = logging.getLogger("runbus.flow_runs")


async def aserve(*served: Deployment, limit: int | None = None) -> None:
    """Execute the runs of deployments until Ctrl-C, SIGTERM or cancellation.

    The first signal lets runs that execute go on for a grace time; the second ends the process.
    Raises `SystemExit` when ends of runs could not be recorded; they are named.
    """
    check_served(served, limit)
    worker = Worker(served, limit)
    from runbus.monitoring import monitored  # late: it imports an HTTP server

    with _stopped_by_signals(worker.stop), monitored():
        await worker.run()
        holder = lease_holder.of(bus.current().settings)
        left = await asyncio.to_thread(holder.unrecorded, UNRECORDED_SECONDS)
    if left:
        raise SystemExit(1)  # at the end of the process they are named


def serve(*served: Deployment, limit: int | None = None) -> Any:
    """Execute the runs of deployments until Ctrl-C or SIGTERM. See `Flow.serve`."""
    if bridge.on_loop():
        return bridge.Pending("serve()", lambda: aserve(*served, limit=limit))
    with asyncio.Runner(loop_factory=bridge.new_event_loop) as runner:
        runner.run(aserve(*served, limit=limit))
    return bridge.Finished()


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Generator[None]:
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
            _end_at_once(number)
        loop.call_soon_threadsafe(stop)

    before = {each: signal.signal(each, hear) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _end_at_once(number: int) -> None:
    # What it executes is found by others when its leases have ended.
    os.write(sys.stderr.fileno(), b"ended at once; others go on with its runs\n")
    os._exit(128 + number)
