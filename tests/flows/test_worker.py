"""Deployments and workers: runs that leave their process, and processes that leave their runs.

Each worker is a process of its own that serves the flows of `served.py`; faults are signals.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from threading import Thread
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from faults import LEASE_SECONDS, PATIENCE, answer, result_of, started, state_of, until

from runbus import (
    cancel_flow_run,
    flow,
    get_client,
    get_run_context,
    pause_flow_run,
    receive_input,
    resume_flow_run,
    run_deployment,
    suspend_flow_run,
    wait_for_flow_run,
)
from runbus.background.bridge import run as block
from runbus.errors import (
    AlreadyEnded,
    CannotPause,
    DeploymentMissing,
    NotPaused,
    ParametersRefused,
    RunFailed,
)
from runbus.settings import temporary_settings

if TYPE_CHECKING:
    from pathlib import Path

    from faults import StartWorker
    from servers import Server


@pytest.mark.parametrize("name", ["shop/x", "sync-shop/x"])
def test_a_run_pauses_suspends_and_goes_on(start_worker: StartWorker, name: str) -> None:
    """A run is answered in its process and outside of it, in sync and async alike."""
    start_worker()
    run_id = started(name, {"item": "tea"})
    answer(run_id, 3)
    until(lambda: state_of(run_id) == "Suspended")
    answer(run_id, True)
    assert result_of(run_id) == ["tea", 3, True]


def test_a_suspended_run_is_in_no_process(start_worker: StartWorker) -> None:
    """The process that suspended a run may end; another one goes on with the run."""
    first = start_worker()
    run_id = started("shop/x", {"item": "tea"})
    answer(run_id, 3)
    until(lambda: state_of(run_id) == "Suspended")
    first.kill()
    first.wait()
    answer(run_id, False)
    start_worker()
    assert result_of(run_id) == ["tea", 3, False]


@pytest.mark.parametrize("name", ["shop/x", "sync-shop/x"])
def test_a_killed_workers_paused_run_goes_on_elsewhere(
    start_worker: StartWorker, name: str
) -> None:
    """An answer that was accepted is not asked for again, whenever the worker was killed."""
    first = start_worker()
    run_id = started(name, {"item": "tea"})
    until(lambda: state_of(run_id) == "Paused")
    first.kill()
    first.wait()
    answer(run_id, 3)  # accepted while no worker lives
    start_worker()
    answer(run_id, True)
    assert result_of(run_id) == ["tea", 3, True]


@pytest.mark.long
def test_a_run_that_kills_its_process_each_time_is_crashed(start_worker: StartWorker) -> None:
    """It takes down three processes, and no more."""
    started_workers = [start_worker("die")]
    run_id = started("die/x")
    for _ in range(2):
        started_workers[-1].wait(PATIENCE)
        started_workers.append(start_worker("die"))
    started_workers[-1].wait(PATIENCE)
    start_worker("double")  # somebody has to notice
    run = wait_for_flow_run(run_id, timeout=PATIENCE)
    assert (run.state.name, run.run_count) == ("Crashed", 3)


def test_a_worker_that_was_only_asleep_does_nothing_more(start_worker: StartWorker) -> None:
    """SIGSTOP past the lease, a second worker takes over, SIGCONT: one of them ends the run."""
    observer = uuid4()
    pids = receive_input(int, flow_run_id=observer, key_prefix="pid", timeout=PATIENCE)
    first = start_worker("stall")
    run_id = started("stall/x", {"observer": str(observer), "seconds": 0.5})
    assert pids.next() == first.pid
    first.send_signal(signal.SIGSTOP)
    second = start_worker("stall")
    assert pids.next() == second.pid
    assert result_of(run_id) == second.pid
    first.send_signal(signal.SIGCONT)
    first.send_signal(signal.SIGTERM)
    first.wait(PATIENCE)
    texts = receive_input(str, flow_run_id=observer, timeout=0, raise_timeout_error=False)
    assert list(texts) == ["awake"]
    assert result_of(run_id) == second.pid


def test_a_flow_that_blocks_its_loop_keeps_its_run(start_worker: StartWorker) -> None:
    """The lease is renewed beside the flow's loop."""
    first = start_worker("stall")
    run_id = started("stall/x", {"observer": str(uuid4()), "seconds": 2.5 * LEASE_SECONDS})
    until(lambda: state_of(run_id) == "Running")
    start_worker("stall")
    assert result_of(run_id) == first.pid


def test_a_flow_that_asks_at_the_terminal_keeps_its_run(start_worker: StartWorker) -> None:
    """`input()` blocks the loop for as long as a person thinks."""
    observer, first = uuid4(), start_worker("prompt")
    run_id = started("prompt/x", {"observer": str(observer)})
    pids = receive_input(int, flow_run_id=observer, key_prefix="pid", timeout=PATIENCE)
    assert pids.next() == first.pid
    start_worker("prompt")
    time.sleep(2.5 * LEASE_SECONDS)
    assert first.stdin is not None
    first.stdin.write(b"tea, please\n")
    first.stdin.flush()
    assert result_of(run_id) == "tea, please"
    assert wait_for_flow_run(run_id).run_count == 1


def test_sigterm_hands_a_waiting_run_back(start_worker: StartWorker) -> None:
    """A worker that is told to end leaves at once, and its run waits for the next one."""
    first = start_worker()
    run_id = started("shop/x", {"item": "tea"})
    until(lambda: state_of(run_id) == "Paused")
    first.send_signal(signal.SIGTERM)
    assert first.wait(PATIENCE) == 0
    assert state_of(run_id) == "Scheduled"
    start_worker()
    answer(run_id, 1)
    answer(run_id, True)
    assert result_of(run_id) == ["tea", 1, True]


def test_a_paused_run_does_not_count_against_the_limit(start_worker: StartWorker) -> None:
    """With one place, a second run executes while the first waits."""
    start_worker(limit=1)
    waiting = started("shop/x", {"item": "tea"})
    until(lambda: state_of(waiting) == "Paused")
    assert result_of(started("double/x", {"number": 4})) == 8
    cancel_flow_run(waiting)
    assert wait_for_flow_run(waiting, timeout=PATIENCE).state.name == "Cancelled"


def test_runs_wait_for_a_place(start_worker: StartWorker) -> None:
    """With one place, runs that block execute one after the other, each as soon as it can."""
    start_worker("stall", limit=1)
    observer = str(uuid4())
    run_ids = [started("stall/x", {"observer": observer, "seconds": 0.1}) for _ in range(5)]
    begun = time.monotonic()
    runs = [wait_for_flow_run(run_id, timeout=PATIENCE) for run_id in run_ids]
    assert time.monotonic() - begun < PATIENCE / 2
    spans = sorted((run.start_time, run.end_time) for run in runs)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_several_workers_share_the_runs(start_worker: StartWorker) -> None:
    """Two hundred runs through three workers, one killed and one told to end: each ends once."""
    workers = [start_worker("double") for _ in range(3)]
    first = started("double/x", {"number": 0})
    run_ids = [first, *(started("double/x", {"number": number}) for number in range(1, 200))]
    workers[0].kill()
    workers[1].send_signal(signal.SIGTERM)
    assert [result_of(run_id) for run_id in run_ids] == [2 * number for number in range(200)]


def test_an_idempotency_key_gives_the_same_run(start_worker: StartWorker) -> None:
    """A run that is started twice under one key is one run."""
    start_worker("double")
    one = started("double/x", {"number": 1}, idempotency_key="order 7")
    other = started("double/x", {"number": 1}, idempotency_key="order 7")
    assert one == other
    assert result_of(one) == 2


def test_tags_are_on_the_run(start_worker: StartWorker) -> None:
    """A run carries the tags that it was started with; one that is called directly has none."""
    start_worker("double")
    run_id = started("double/x", {"number": 1}, tags=["tea", "green"])
    assert wait_for_flow_run(run_id, timeout=PATIENCE).tags == ("green", "tea")
    other = started("double/x", {"number": 1})
    assert wait_for_flow_run(other, timeout=PATIENCE).tags == ()


def test_a_deployments_run_is_its_callers_child(start_worker: StartWorker) -> None:
    """A flow starts a deployment and waits for it, in the same worker."""
    start_worker("double", "parent", limit=1)  # who waits gives its place to whom it waits for
    run_id = started("parent/x")
    assert result_of(run_id) == 42
    runs = block(lambda: get_client().read_flow_runs())
    assert [run.parent_run_id for run in runs] == [run_id, None]


def test_a_failure_is_recorded(start_worker: StartWorker) -> None:
    """What a flow raises fails the run and not the worker; for wrong parameters none is made."""
    start_worker("fail", "double")
    with pytest.raises(RunFailed, match="ValueError: on purpose"):
        result_of(started("fail/x"))
    with pytest.raises(ParametersRefused, match="number: it must be a whole number"):
        started("double/x", {"number": "many"})
    assert result_of(started("double/x", {"number": "2"})) == 4


@pytest.mark.parametrize("how", ["exit", "interrupt", "own"])
def test_a_flow_that_ends_the_program_ends_its_run(
    start_worker: StartWorker, tmp_path: Path, how: str
) -> None:
    """The worker and the runs beside it go on, without a word of asyncio's."""
    worker = start_worker("leave", "double", said=tmp_path / "said")
    run_id = started("leave/x", {"how": how})
    until(lambda: state_of(run_id) == "Crashed")
    assert result_of(started("double/x", {"number": 2})) == 4
    assert worker.poll() is None
    assert "Traceback" not in (tmp_path / "said").read_text()


def test_a_validator_that_breaks_fails_the_run(start_worker: StartWorker) -> None:
    """Whatever a parameter's own code raises, the run ends, and says why."""
    start_worker("pay")
    with pytest.raises(RunFailed, match="KeyError: 'price'"):
        result_of(started("pay/x", {"price": {}}))


def test_a_suspended_run_that_nobody_answers_fails_at_its_deadline(
    start_worker: StartWorker,
) -> None:
    """A worker finds the deadline over and lets the flow know."""
    start_worker("give-up")
    with pytest.raises(RunFailed, match="FlowPauseTimeout"):
        result_of(started("give-up/x"))


def test_a_suspended_run_is_cancelled_at_once(start_worker: StartWorker) -> None:
    """No process has the run, so nobody need hear of it."""
    start_worker()
    run_id = started("shop/x", {"item": "tea"})
    answer(run_id, 1)
    until(lambda: state_of(run_id) == "Suspended")
    cancel_flow_run(run_id)
    assert state_of(run_id) == "Cancelled"
    with pytest.raises(AlreadyEnded):
        cancel_flow_run(run_id)


def test_a_run_is_suspended_from_outside(start_worker: StartWorker) -> None:
    """A paused run leaves its process, and its answer brings it back."""
    start_worker()
    run_id = started("shop/x", {"item": "tea"})
    until(lambda: state_of(run_id) == "Paused")
    suspend_flow_run(flow_run_id=run_id)
    until(lambda: state_of(run_id) == "Suspended")
    answer(run_id, 1)
    answer(run_id, True)
    assert result_of(run_id) == ["tea", 1, True]


def test_what_is_not_deployed(valkey: Server) -> None:
    """A deployment that nobody serves, and a run that nobody would go on with, are errors."""

    @flow
    def direct() -> None:
        suspend_flow_run()

    with pytest.raises(DeploymentMissing, match="no deployment 'never/x'"):
        run_deployment("never/x")
    with pytest.raises(CannotPause, match="called directly"):
        direct()


def killed_script(server: Server) -> UUID:
    """The run of a script that was killed while it waited for an answer."""
    code = """
from runbus import *
@flow
def wait():
    print(get_run_context().run_id, flush=True)
    pause_flow_run()
wait()
"""
    environment = {**os.environ, "RUNBUS_URL": server.url, "RUNBUS_LEASE_SECONDS": "1"}
    script = subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with script:
        assert script.stdout is not None
        run_id = UUID(script.stdout.readline().strip())
        until(lambda: state_of(run_id) == "Paused")
        script.kill()
    return run_id


def test_a_killed_script_leaves_no_ghost(server: Server, start_worker: StartWorker) -> None:
    """A run whose process is gone is recorded as crashed, by a worker, whatever it serves."""
    run_id = killed_script(server)
    start_worker("double")
    assert wait_for_flow_run(run_id, timeout=PATIENCE).state.name == "Crashed"
    with pytest.raises(NotPaused):
        resume_flow_run(run_id)


def test_nobody_is_told_that_a_killed_script_goes_on(server: Server) -> None:
    """Where no worker looks, who answers it does: once it is sure, the answer is not taken."""
    run_id = killed_script(server)
    with server.client() as client:
        until(lambda: not client.keys("runbus:{*}:lease:*"))
    with temporary_settings(url=server.url, lease_seconds=1), pytest.raises(NotPaused):
        resume_flow_run(run_id)
    assert state_of(run_id) == "Crashed"


def test_another_script_ends_nobodys_run(server: Server) -> None:
    """Only workers look for the dead: who runs a flow of their own has nothing to do with them."""
    run_id = killed_script(server)

    @flow
    def busy() -> str:
        time.sleep(3)  # longer than the lease of the dead, and than who looks has to look
        return state_of(run_id)

    with temporary_settings(url=server.url, lease_seconds=1):
        assert busy() == "Paused"
        with pytest.raises(NotPaused):
            resume_flow_run(run_id)


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
def test_a_retry_asks_anew_for_what_expired(start_worker: StartWorker) -> None:
    """A suspended run whose time is over fails, and its retry may be answered."""
    start_worker("suspend-shortly")
    run_id = started("suspend-shortly/x")
    until(
        lambda: [each.generation for each in block(lambda: get_client().read_pauses(run_id))] == [2]
    )
    answer(run_id, 5)
    assert result_of(run_id) == 5


@pytest.mark.parametrize("key", [None, "mine"])
def test_a_retry_asks_anew_in_a_direct_run(valkey: Server, key: str | None) -> None:
    """So does the retry of a flow that pauses, by number or by key."""
    calls: list[int] = []

    @flow(retries=2)
    def ask() -> int:
        calls.append(1)
        if len(calls) == 3:
            Thread(target=answer, args=(get_run_context().run_id, 7)).start()
        return pause_flow_run(int, timeout=0.1 if len(calls) < 3 else 30, key=key)

    assert ask() == 7
