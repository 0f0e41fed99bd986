"""Claims that fail: the slot of each is given back, and the worker goes on."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from chaos.faults import FullMemory, LostReplies
from faults import LEASE_SECONDS, made, result_of, started, until
from lasting import Diary
from proxy import Proxy

from runbus import run_deployment

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from faults import StartProcess
    from servers import Server

PATIENCE_SECONDS = 2.0
"""How long a claim waits for its reply."""


def count_of(server: Server, statistic: str, field: str) -> int:
    """Read from one line of `INFO errorstats` or `commandstats`."""
    with server.client() as client:
        found = client.info(statistic.partition("_")[0] + "s")
    return found.get(statistic, {}).get(field, 0)


def executions_of(server: Server, run_id: UUID) -> int:
    with server.client() as client:
        return int(client.hget(f"runbus:{{{run_id.hex[-2:]}}}:{run_id}:run", "run_count") or 0)


def test_a_claim_that_is_refused_gives_its_slot_back(
    server: Server, start_process: StartProcess
) -> None:
    """Refused several times, while the memory is full; with one slot, all runs execute then."""
    worker = start_process("lasting.py", "1", "quick")
    assert result_of(started("quick/x")) == "done"
    worker.send_signal(signal.SIGSTOP)
    runs = [run_deployment("quick/x", timeout=0).id for _ in range(3)]
    before = count_of(server, "errorstat_OOM", "count")
    with made(FullMemory(server)):
        worker.send_signal(signal.SIGCONT)
        until(lambda: count_of(server, "errorstat_OOM", "count") >= before + 3)
    assert [result_of(run_id) for run_id in runs] == ["done"] * 3


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
def test_a_claim_whose_replies_are_lost_gives_its_slot_back(
    server: Server, start_process: StartProcess, tmp_path: Path
) -> None:
    """It was executed, and its replies were lost until the worker gave it up.

    The run waits for a worker again, and is begun once.
    """
    diary = Diary(tmp_path)
    with Proxy(server.host, server.port) as proxy:
        worker = start_process("lasting.py", "1", "hold", url=proxy.url)
        first = started("hold/x", diary.given)
        until(lambda: diary.count("begins") == 1)
        run_id = run_deployment("hold/x", diary.given, timeout=0).id
        time.sleep(LEASE_SECONDS)  # in which the worker has heard of it, and has no slot for it
        with made(LostReplies(proxy)):
            diary.gate.touch()
            until(lambda: executions_of(server, run_id) == 1)
            time.sleep(1.5 * PATIENCE_SECONDS)
        assert [result_of(each) for each in (first, run_id)] == ["held"] * 2
        assert result_of(started("hold/x", diary.given)) == "held"
        assert diary.runs("begins").count(str(run_id)) == 1
        worker.terminate()
        worker.wait()
