"""Outages and sleep longer than a lease and a retry: nobody's crash, and soon forgotten."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from chaos.faults import FailedSnapshot, FrozenServer, FullMemory, KilledServer
from faults import LEASE_SECONDS, answer, made, result_of, started, state_of, until
from lasting import Diary

from runbus import flow, get_client, pause_flow_run, resume_flow_run, run_deployment
from runbus.background.bridge import run as block
from runbus.errors import ServerUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    from chaos.faults import Fault
    from faults import StartProcess
    from servers import Server

    from runbus.protocol.records import FlowRun, Waiting

RETRY_SECONDS = 1.0
QUICK_SECONDS = 1.0
"""Far less than a sweep, which finds at last what no hint has told of."""
OUTAGES: dict[str, Callable[[Server], Fault]] = {"frozen": FrozenServer, "killed": KilledServer}
on_each_engine = pytest.mark.parametrize(
    ("server", "outage"), [("valkey", "frozen"), ("redis", "killed")], indirect=["server"]
)
"""An outage is one to whoever is connected: not each kind of it with each engine."""


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path)


def read(run_id: UUID) -> FlowRun:
    return block(lambda: get_client().read_flow_run(run_id))


@on_each_engine
def test_each_start_is_quick_after_an_outage(
    server: Server, start_process: StartProcess, outage: str
) -> None:
    """Hints are followed again, however long nobody could be asked for them."""
    settings = {"lease_seconds": 30, "retry_seconds": RETRY_SECONDS, "reply_timeout_seconds": 0.5}
    start_process("lasting.py", "0", "quick", **settings)
    assert result_of(started("quick/x")) == "done"
    with made(OUTAGES[outage](server)):
        time.sleep(3 * RETRY_SECONDS)
    assert result_of(started("quick/x")) == "done"
    assert statistics.median(seconds_of_a_start() for _ in range(5)) < QUICK_SECONDS


def seconds_of_a_start() -> float:
    began = time.monotonic()
    assert result_of(run_deployment("quick/x", timeout=0).id) == "done"
    return time.monotonic() - began


@pytest.mark.long
@on_each_engine
def test_nothing_is_executed_twice_after_an_outage(
    server: Server, start_process: StartProcess, diary: Diary, outage: str
) -> None:
    """Three leases without a server; two workers that are well keep all their runs."""
    for _ in range(2):
        start_process("lasting.py", "4", "hold", "sync-hold", "ask", retry_seconds=30)
    names = ("hold/x", "sync-hold/x", "ask/x")
    runs = [started(name, diary.given) for name in names for _ in range(2)]
    until(lambda: diary.count("begins") == len(runs))
    with made(OUTAGES[outage](server)):
        time.sleep(3 * LEASE_SECONDS)
    time.sleep(2.5 * LEASE_SECONDS)  # in which others would take them
    diary.gate.touch()
    for run_id in runs[4:]:
        answer(run_id, 5)
    assert [result_of(run_id) for run_id in runs] == ["held"] * 4 + [5] * 2
    found = [read(run_id) for run_id in runs]
    assert [(run.run_count, run.crash_count) for run in found] == [(1, 0)] * len(runs)
    assert diary.count("begins") == len(runs)


@pytest.mark.long
def test_all_sleep_and_awake_together(
    server: Server, start_process: StartProcess, diary: Diary
) -> None:
    """The server, a worker and scripts, as on a laptop: no run is anybody's crash."""
    given = diary.given
    processes = [
        start_process("lasting.py", "0", "hold"),
        *(start_process("lasting.py", "called", "hold", *given.values()) for _ in range(4)),
    ]
    started("hold/x", given)
    until(lambda: diary.count("begins") == 5)
    for pid in (server.pid, *(each.pid for each in processes)):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(3 * LEASE_SECONDS)
    for pid in (server.pid, *(each.pid for each in processes)):
        os.kill(pid, signal.SIGCONT)
    time.sleep(2.5 * LEASE_SECONDS)  # in which their neighbours would end them
    runs = block(lambda: get_client().read_flow_runs())
    assert [run.state.name for run in runs] == ["Running"] * 5
    diary.gate.touch()
    assert [result_of(run.id) for run in runs] == ["held"] * 5
    assert [process.wait(10) for process in processes[1:]] == [0] * 4
    assert diary.count("begins") == 5


def test_one_that_sleeps_alone_loses_its_runs_once(
    server: Server, start_process: StartProcess, diary: Diary
) -> None:
    """They run again, and count no crash when the sleeper finds that it lives."""
    sleeper = start_process("lasting.py", "1", "hold")
    run_id = started("hold/x", diary.given)
    until(lambda: diary.count("begins") == 1)
    start_process("lasting.py", "0", "quick")  # somebody who looks, and does not serve it
    sleeper.send_signal(signal.SIGSTOP)
    until(lambda: state_of(run_id) == "Scheduled")
    assert read(run_id).crash_count == 1
    sleeper.send_signal(signal.SIGCONT)
    until(lambda: diary.count("begins") == 2)  # by the same worker, which has one slot
    until(lambda: read(run_id).crash_count == 0)
    diary.gate.touch()
    assert result_of(run_id) == "held"
    assert diary.count("ends") == 1


@on_each_engine
async def test_a_question_outlasts_an_outage(
    server: Server, configure: Callable[..., None], outage: str
) -> None:
    """Who waits for an answer waits on, however long nobody can be asked for it."""
    configure(retry_seconds=RETRY_SECONDS, reply_timeout_seconds=0.5)

    @flow
    async def ask() -> int:
        return await pause_flow_run(int)

    asking = asyncio.create_task(ask())
    (waiting,) = await until_waiting()
    with made(OUTAGES[outage](server)):
        await asyncio.sleep(3 * RETRY_SECONDS)
        assert not asking.done()
    await until_answered(waiting.run.id, 7)
    assert await asking == 7


async def until_answered(run_id: UUID, value: int) -> None:
    """Answer a run as soon as the server is back."""
    while True:
        with suppress(ServerUnreachable):
            await resume_flow_run(run_id, {"value": value})
            return


@pytest.mark.parametrize("fault", [FullMemory, FailedSnapshot], ids=lambda fault: fault.__name__)
def test_a_worker_that_starts_while_the_server_takes_no_writes(
    server: Server,
    start_process: StartProcess,
    tmp_path: Path,
    fault: Callable[[Server], Fault],
) -> None:
    """It is not registered yet, and works as soon as it is."""
    said = tmp_path / "said"
    with made(fault(server)):
        worker = start_process("lasting.py", "0", "quick", said=said, retry_seconds=RETRY_SECONDS)
        until(lambda: "records failed and begins again" in said.read_text())
        assert worker.poll() is None
    until(lambda: block(get_client().read_deployments))
    assert result_of(started("quick/x")) == "done"


async def until_waiting() -> list[Waiting]:
    while not (waiting := await get_client().read_waiting()):
        await asyncio.sleep(0.02)
    return waiting
