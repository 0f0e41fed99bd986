"""Many runs through workers that die: killed from outside, and by a run of their own.

The two are apart: a run that was hit twice and is then executed alone is crashed by a third loss,
whoever caused it. Together, they would make an innocent run's end a matter of luck.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import cycle
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from faults import started, until
from owners import claimed, created, died, ended

from runbus import get_client, run_deployment
from runbus.background.bridge import run as block
from runbus.protocol.keys import Keys
from runbus.store.bus import current_bus
from runbus.store.records import executions, runs

if TYPE_CHECKING:
    from faults import StartWorker
    from forked import Process
    from servers import Server

    from runbus.protocol.records import FlowRun

RUNS = 1000
BATCH = 100
SECONDS = 0.2
RUNS_BETWEEN_KILLS = 250
"""Not seconds: however slow the machine is, hardly a run is hit three times, and crashed."""


async def start_all(count: int, seconds: float) -> list[UUID]:
    async def start(number: int) -> UUID:
        parameters = {"number": number, "seconds": seconds}
        return (await run_deployment("nap/x", parameters, timeout=0)).id

    found: list[UUID] = []
    for first in range(0, count, BATCH):
        numbers = range(first, min(count, first + BATCH))
        found += await asyncio.gather(*(start(number) for number in numbers))
    return found


def read_all(run_ids: list[UUID]) -> list[FlowRun]:
    async def read() -> list[FlowRun]:
        found = await runs.read_several(current_bus(), run_ids)
        return [run for run in found if run is not None]

    return block(read)


class Ward:
    """Workers that are started again whenever they die."""

    def __init__(self, start_worker: StartWorker, count: int, at_once: int) -> None:
        self._start = start_worker
        self._at_once = at_once
        self._workers = [self._new() for _ in range(count)]
        self._turns = cycle(range(count))

    def kill_one(self) -> None:
        self._workers[next(self._turns)].kill()

    def nurse(self) -> None:
        for number, worker in enumerate(self._workers):
            if worker.poll() is not None:
                self._workers[number] = self._new()

    def _new(self) -> Process:
        return self._start("nap", "leave-at-once", limit=self._at_once)


@pytest.mark.long
@pytest.mark.parametrize("server", ["valkey"], indirect=True)
def test_a_thousand_runs_among_dying_workers(server: Server, start_worker: StartWorker) -> None:
    """One of three workers is killed again and again: each run completes, and does so once."""
    ward = Ward(start_worker, 3, at_once=6)
    started("nap/x", {"number": 0, "seconds": 0})
    run_ids = block(lambda: start_all(RUNS, SECONDS))
    kills = 0

    def all_have_ended() -> bool:
        nonlocal kills
        ended = sum(run.state.is_final() for run in read_all(run_ids))
        if RUNS_BETWEEN_KILLS * (kills + 1) <= ended < RUNS:
            kills += 1
            ward.kill_one()
        ward.nurse()
        time.sleep(0.1)
        return ended == RUNS

    until(all_have_ended, patience=90)
    found = read_all(run_ids)
    assert kills >= 2
    assert any(run.run_count > 1 for run in found)
    assert Counter(run.state.name for run in found) == {"Completed": RUNS}
    assert [run.state.result() for run in found] == list(range(RUNS))
    with server.client() as client:
        keys = Keys("runbus")
        histories: list[Any] = [client.lrange(keys.history(run.id), 0, -1) for run in found]
    assert {sum("Completed" in entry for entry in history) for history in histories} == {1}


@pytest.mark.long
@pytest.mark.parametrize("server", ["valkey"], indirect=True)
def test_the_neighbours_of_a_killer_complete(server: Server, start_worker: StartWorker) -> None:
    """It takes them down twice; the third time it is alone, and crashed."""
    ward = Ward(start_worker, 3, at_once=10)
    started("nap/x", {"number": 0, "seconds": 0})
    neighbours = block(lambda: start_all(15, 1.0))  # they execute when it comes
    killer = started("leave-at-once/x")
    neighbours += block(lambda: start_all(85, SECONDS))

    def all_have_ended() -> bool:
        ward.nurse()
        return all(run.state.is_final() for run in read_all([*neighbours, killer]))

    until(all_have_ended, patience=90)
    found = read_all(neighbours)
    assert Counter(run.state.name for run in found) == {"Completed": 100}
    assert any(run.run_count > 1 for run in found)
    (crashed,) = read_all([killer])
    assert (crashed.state.name, crashed.run_count) == ("Crashed", 3)


async def test_crashes_are_forgotten_after_a_probation(valkey: Server) -> None:
    """By the execution that survives, and not by an older one."""
    bus, run_id = current_bus(), uuid4()
    await created(run_id, {"flow": "f", "deployment": "f/x"})
    for process in ("one", "two"):
        assert await claimed(run_id, process)
        await died(run_id, process)
    run = await claimed(run_id, "three")
    assert run is not None
    await executions.reset_crashes(bus, run_id, "1-00000000")
    assert (await get_client().read_flow_run(run_id)).crash_count == 2
    await executions.reset_crashes(bus, run_id, run.epoch)
    assert (await get_client().read_flow_run(run_id)).crash_count == 0
    await ended(run, "Completed")


async def test_a_crash_that_was_none_is_not_counted(valkey: Server) -> None:
    """A process whose run was taken while it lived says so, once; the others are counted on."""
    bus, run_id, taken = current_bus(), uuid4(), []
    await created(run_id, {"flow": "f", "deployment": "f/x"})
    for process in ("one", "two"):
        run = await claimed(run_id, process)
        assert run is not None
        taken.append(run.epoch)
        await died(run_id, process)
    for _ in range(2):
        await executions.reset_crashes(bus, run_id, taken[0])
    assert (await get_client().read_flow_run(run_id)).crash_count == 1
    run = await claimed(run_id, "three")
    assert run is not None
    await ended(run, "Completed")
