"""Sweeps: what workers look for again and again costs the same, however many they are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from faults import LEASE_SECONDS, answer, result_of, started, state_of, until
from monitor import Asked, Monitor

from runbus import get_client
from runbus.background.bridge import run as block

if TYPE_CHECKING:
    from faults import StartWorker
    from servers import Server

WINDOW = 4 * LEASE_SECONDS


def scans_per_second(server: Server) -> float:
    """How often the indexes are read: a sweep reads one for each of 256 tags."""
    with server.client() as client, Monitor(client) as monitor:
        time.sleep(WINDOW)  # a rate has no event to wait for
    scans = [each for each in monitor.asked if each.words[0] == "ZRANGE" and sweeps(each)]
    return len(scans) / WINDOW


def sweeps(asked: Asked) -> bool:
    return any(":scheduled:" in key for key in asked.keys)


@pytest.mark.long
@pytest.mark.parametrize("server", ["valkey"], indirect=True)
def test_many_workers_sweep_no_more_often_than_one(
    server: Server, start_worker: StartWorker
) -> None:
    """Each of many does so less often; each serves the same deployment."""
    start_worker("double")
    assert result_of(started("double/x", {"number": 1})) == 2
    alone = scans_per_second(server)
    assert alone > 256
    for _ in range(4):
        start_worker("double")
    until(lambda: len(connected(server)) >= 5)
    together = scans_per_second(server)
    assert together < 1.7 * alone  # five times as many would be 5 x


def test_a_run_in_no_index_begins_after_a_repair(server: Server, start_worker: StartWorker) -> None:
    """Its hint and all indexes were deleted by hand, so only its own record tells of it."""
    first = start_worker("double")
    assert result_of(started("double/x", {"number": 1})) == 2
    first.kill()
    first.wait()
    run_id = started("double/x", {"number": 2})
    with server.client() as client:
        indexes: Any = client.keys(f"runbus:{{{run_id.hex[-2:]}}}:*")
        client.delete(*(each for each in indexes if str(run_id) not in each))
        client.delete("runbus:deployment:{double/x}:queue")
    assert block(lambda: get_client().read_flow_runs(state="Scheduled")) == []
    assert block(lambda: get_client().repair_indexes()) == 3
    start_worker("double")
    assert result_of(run_id) == 4


def connected(server: Server) -> set[str]:
    """The processes that have registered a deployment and wait for hints."""
    with server.client() as client:
        clients: Any = client.client_list()
    return {each["id"] for each in clients if each.get("redir", "-1") == "0"}


def test_an_idle_worker_hears_of_a_run_that_was_taken_from_the_dead(
    start_worker: StartWorker,
) -> None:
    """Whoever takes it tells the workers of its deployment, and need not serve it itself."""
    first = start_worker("shop")
    run_id = started("shop/x", {"item": "tea"})
    until(lambda: state_of(run_id) == "Paused")
    start_worker("double")
    start_worker("shop")
    first.kill()
    first.wait()
    answer(run_id, 3)
    answer(run_id, True)
    assert result_of(run_id) == ["tea", 3, True]
