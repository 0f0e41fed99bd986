"""Serving: a worker from its start to its end, with the signals that end it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from runbus.background import bridge, lease_holder
from runbus.background.background_loop import background, new_event_loop
from runbus.background.pending import Finished, Pending
from runbus.protocol.printed import one_line
from runbus.worker.blocked_end import end_if_blocked
from runbus.worker.deployment import Deployment, check_served
from runbus.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Generator

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
    worker = Worker(served, limit)
    from runbus.monitoring.health_server import monitored  # late: it imports an HTTP server

    with _stopped_by_signals(worker), monitored(worker.slots):
        await worker.run()
        left = await asyncio.to_thread(worker.holder.unrecorded)
        lease_holder.say_unrecorded(left)
    if left:
        raise SystemExit(1)


def serve(*served: Deployment, limit: int | None = None) -> Pending[None] | Finished:
    """Execute the runs of deployments until Ctrl-C or SIGTERM. See `Flow.serve`."""
    if bridge.on_loop():
        return Pending("serve()", lambda: aserve(*served, limit=limit))
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(aserve(*served, limit=limit))
    return Finished()


@contextmanager
def _stopped_by_signals(worker: Worker) -> Generator[None]:
    # Whichever worker of this process was started first, or in another thread: a signal is for all.
    _signalled.workers.append(worker)
    handles = threading.current_thread() is threading.main_thread()
    if handles:
        _signalled.begin()
    try:
        yield
    finally:
        worker.has_ended = True
        _signalled.workers.remove(worker)
        if handles:
            _signalled.end()


class _Signalled:
    """The workers of this process that its signals stop; the second signal ends it at once."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self._served = 0
        self._heard = 0
        self._before: dict[signal.Signals, Any] = {}

    def begin(self) -> None:
        """Listen, for one more worker of the main thread."""
        self._served += 1
        if self._served == 1:
            self._heard = 0
            self._before = {each: signal.signal(each, self._hear) for each in SIGNALS}

    def end(self) -> None:
        """Listen no more when none of them is left."""
        self._served -= 1
        if not self._served:
            for each, handler in self._before.items():
                signal.signal(each, handler)

    def _hear(self, number: int, _: object) -> None:
        self._heard += 1
        if self._heard > 1:
            _end_at_once(number, [each.holder for each in self.workers])
        # On the background loop: the loop of this thread may be blocked by a flow, and a handler
        # of the loop's own would never run.
        for worker in self.workers:
            background.loop.call_soon_threadsafe(_stop, worker)


_signalled = _Signalled()


def _stop(worker: Worker) -> None:
    worker.stop()
    bridge.start(partial(end_if_blocked, worker))


def _end_at_once(number: int, holders: list[LeaseHolder]) -> None:
    # What it executes is found by others when its leases have ended.
    _say("ended at once; others go on with its runs")
    # In a thread: this one may have been interrupted while it had the lock of what is held.
    naming = threading.Thread(target=_name_kept, args=(holders,), daemon=True)
    naming.start()
    naming.join(NAMING_SECONDS)
    os._exit(128 + number)


def _name_kept(holders: list[LeaseHolder]) -> None:
    for end in {end for holder in holders for end in holder.holdings.kept_ends()}:
        _say(str(end))


def _say(line: str) -> None:
    # Not by a logger, whose lock may be held as well.
    os.write(sys.stderr.fileno(), f"{one_line(line)}\n".encode())
