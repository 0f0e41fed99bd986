"""A rolling restart: workers are replaced one by one, under load, and no run fails."""

from __future__ import annotations

import signal
import threading
from itertools import count
from typing import TYPE_CHECKING

import pytest
from faults import PATIENCE, answer, result_of, started, state_of, until

from runbus import get_client
from runbus.background.bridge import run as block

if TYPE_CHECKING:
    from uuid import UUID

    from faults import StartWorker

pytestmark = pytest.mark.parametrize("server", ["valkey"], indirect=True)
WAITING = 4


def test_three_workers_are_replaced_under_load(start_worker: StartWorker) -> None:
    """Runs come in all the time, and some wait for an answer: each comes to its end."""
    workers = [start_worker() for _ in range(3)]
    # Each has its handlers of signals before it says that it is there.
    until(lambda: len(block(get_client().read_workers)) == len(workers))
    waiting = [started("shop/x", {"item": f"tea {number}"}) for number in range(WAITING)]
    for run_id in waiting:
        until(lambda run_id=run_id: state_of(run_id) == "Paused")
    naps: list[UUID] = []
    over = threading.Event()

    def keep_starting() -> None:
        for number in count():
            naps.append(started("nap/x", {"number": number, "seconds": 0.2}))
            if over.wait(0.05):
                return

    load = threading.Thread(target=keep_starting)
    load.start()
    try:
        for number, worker in enumerate(workers):
            until(lambda least=10 * (number + 1): len(naps) >= least)
            start_worker()
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(PATIENCE) == 0
            answer(waiting[number], number)
            until(lambda run_id=waiting[number]: state_of(run_id) == "Suspended")
    finally:
        over.set()
        load.join()
    assert [result_of(run_id) for run_id in naps] == list(range(len(naps)))
    answer(waiting[3], 3)
    for run_id in waiting:
        answer(run_id, True)
    expected = [[f"tea {number}", number, True] for number in range(WAITING)]
    assert [result_of(run_id) for run_id in waiting] == expected
