"""Fencing: a process that was only asleep learns that its runs are others' by now."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from faults import LEASE_SECONDS, PATIENCE, answer, result_of, started, until

from runbus import get_client, receive_input, send_input
from runbus.background.bridge import run as block

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from faults import StartWorker
    from servers import Server

pytestmark = pytest.mark.parametrize("server", ["valkey"], indirect=True)


def entries_of(diary: Path, pid: int) -> list[str]:
    """What a process has noted."""
    lines = diary.read_text().splitlines() if diary.exists() else []
    return [line.partition(" ")[2] for line in lines if line.startswith(f"{pid} ")]


@pytest.mark.parametrize(
    ("name", "wait"),
    [
        *(("haunt", wait) for wait in ("receive", "pause", "sleep")),
        *(("haunt-async", wait) for wait in ("receive", "pause")),
    ],
)
def test_who_wakes_up_too_late_is_given_nothing_and_does_nothing(
    start_worker: StartWorker, tmp_path: Path, name: str, wait: str
) -> None:
    """SIGSTOP past the lease, a second worker takes over, SIGCONT: the first flow is told.

    What its run is sent and answered meanwhile is its successor's.
    """
    observer, diary = uuid4(), tmp_path / "diary"
    pids = receive_input(int, flow_run_id=observer, key_prefix="pid", timeout=PATIENCE)
    first = start_worker(name)
    run_id = started(f"{name}/x", {"observer": str(observer), "diary": str(diary), "wait": wait})
    assert pids.next() == first.pid
    if wait == "pause":
        until(lambda: block(lambda: get_client().read_pause(run_id)))
    first.send_signal(signal.SIGSTOP)
    second = start_worker(name)
    assert pids.next() == second.pid
    give(run_id, wait, 7)
    assert result_of(run_id) == 7
    first.send_signal(signal.SIGCONT)
    count = 4 if name == "haunt" else 1
    until(lambda: len(entries_of(diary, first.pid)) >= count)
    first.send_signal(signal.SIGTERM)
    assert first.wait(PATIENCE) == 0
    told = {"RunLost"} if name == "haunt" else {"RunLost", "CancelledError"}
    assert len(entries_of(diary, first.pid)) == count
    assert set(entries_of(diary, first.pid)) <= told
    assert entries_of(diary, second.pid) == ["did it"]
    words = receive_input(str, flow_run_id=observer, timeout=0, raise_timeout_error=False)
    assert list(words) == []
    assert [run.id for run in block(lambda: get_client().read_flow_runs())] == [run_id]
    assert result_of(run_id) == 7


@pytest.mark.parametrize("name", ["begin-late", "begin-late-async"])
def test_who_wakes_up_too_late_to_begin_does_not_begin(
    start_worker: StartWorker, tmp_path: Path, name: str
) -> None:
    """SIGSTOP after the claim, before the flow's first line; a second worker takes over."""
    diary = tmp_path / "diary"
    first = start_worker(name)
    run_id = started(f"{name}/x", {"diary": str(diary)})
    until(diary.exists)
    second = start_worker(name)
    assert result_of(run_id) == second.pid
    first.send_signal(signal.SIGCONT)
    first.send_signal(signal.SIGTERM)
    assert first.wait(PATIENCE) == 0
    assert entries_of(diary, first.pid) == ["stopped"]


def test_who_wakes_up_too_late_and_finds_that_nobody_has_taken_its_run(
    start_worker: StartWorker,
) -> None:
    """A run that was only late does not fail: it is handed back, and runs again."""
    observer = uuid4()
    words = receive_input(str, flow_run_id=observer, timeout=PATIENCE)
    worker = start_worker("pause-late")
    run_id = started("pause-late/x", {"observer": str(observer)})
    assert words.next() == "working"
    worker.send_signal(signal.SIGSTOP)
    time.sleep(1.5 * LEASE_SECONDS)
    worker.send_signal(signal.SIGCONT)
    answer(run_id, 3)
    assert result_of(run_id) == 3


def give(run_id: UUID, wait: str, number: int) -> None:
    if wait == "pause":
        answer(run_id, number)
    else:
        send_input(number, run_id)


def test_a_worker_killed_while_its_run_receives(server: Server, start_worker: StartWorker) -> None:
    """The next one receives all from the first on: those taken before, between and after."""
    observer, count = uuid4(), 30
    told = receive_input(str, flow_run_id=observer, timeout=PATIENCE)
    worker = start_worker("collect")
    run_id = started("collect/x", {"observer": str(observer), "count": count})
    for number in range(count):
        send_input(number, run_id)
        if number % 10 == 5 and number < 20:
            while told.next() != f"got {number}":
                pass
            worker.kill()
            worker.wait()
        if number % 10 == 9 and number < 20:  # the last four came while no worker lived
            worker = start_worker("collect")
    assert result_of(run_id) == list(range(count))
