"""Runs that are parts of others: what becomes of them when those leave their process, or end."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from faults import PATIENCE, answer, result_of, started, state_of, until

from runbus import (
    cancel_flow_run,
    get_client,
    receive_input,
    resume_flow_run,
    suspend_flow_run,
    wait_for_flow_run,
)
from runbus.background.bridge import run as block
from runbus.errors import NotPaused

if TYPE_CHECKING:
    from faults import StartProcess
    from forked import Process

    from runbus.protocol.records import FlowRun

in_processes = pytest.mark.parametrize("server", ["valkey"], indirect=True)
by_both = pytest.mark.parametrize("name", ["call-ask", "sync-call-ask"])


def children_of(run_id: UUID) -> list[FlowRun]:
    return block(lambda: get_client().read_flow_runs(parent_run_id=run_id))


def only_child_of(run_id: UUID, state: str = "Paused") -> UUID:
    """The one run that is part of another, once it is in a state."""
    (child,) = until(lambda: [run for run in children_of(run_id) if run.state.name == state])
    return child.id


def waiting_runs() -> set[UUID]:
    return {each.run.id for each in block(lambda: get_client().read_waiting())}


def ended(worker: Process, number: int) -> None:
    worker.send_signal(number)
    worker.wait(PATIENCE)


@in_processes
@by_both
def test_a_child_of_a_suspended_run_is_answered(start_process: StartProcess, name: str) -> None:
    """It is listed, is not said to run, and its answer lets the suspended one go on with it."""
    start_process("nested.py", "0", name)
    run_id = started(f"{name}/x")
    child = only_child_of(run_id)
    suspend_flow_run(flow_run_id=run_id)
    until(lambda: state_of(run_id) == "Suspended")
    assert (state_of(child), child in waiting_runs()) == ("Pending", True)
    answer(child, 3)
    assert result_of(run_id) == 3
    assert [(run.id, run.state.name) for run in children_of(run_id)] == [(child, "Completed")]


@in_processes
@by_both
def test_a_child_is_answered_while_no_worker_has_its_parent(
    start_process: StartProcess, name: str
) -> None:
    """It waits for the next one with its answer, and does not seem to run."""
    worker = start_process("nested.py", "0", name)
    run_id = started(f"{name}/x")
    child = only_child_of(run_id)
    ended(worker, signal.SIGTERM)
    answer(child, 3)
    assert (state_of(run_id), state_of(child)) == ("Scheduled", "Pending")
    assert waiting_runs() == set()
    start_process("nested.py", "0", name)
    assert result_of(run_id) == 3


@in_processes
@by_both
def test_a_child_ends_with_its_suspended_parent(start_process: StartProcess, name: str) -> None:
    """Its question is withdrawn: it is not listed, and takes no answer."""
    start_process("nested.py", "0", name)
    run_id = started(f"{name}/x")
    child = only_child_of(run_id)
    suspend_flow_run(flow_run_id=run_id)
    until(lambda: state_of(run_id) == "Suspended")
    cancel_flow_run(run_id)
    assert (state_of(run_id), state_of(child)) == ("Cancelled", "Cancelled")
    assert waiting_runs() == set()
    with pytest.raises(NotPaused):
        resume_flow_run(child, {"value": 3})
    assert state_of(child) == "Cancelled"


@in_processes
def test_a_child_that_is_not_called_again_ends_with_its_parent(start_process: StartProcess) -> None:
    """The parent went another way in its second execution, and completed."""
    start_process("nested.py", "0", "call-once")
    run_id = started("call-once/x")
    child = only_child_of(run_id)
    suspend_flow_run(flow_run_id=run_id)
    until(lambda: state_of(run_id) == "Suspended")
    resume_flow_run(run_id)
    assert result_of(run_id) == "done without it"
    assert wait_for_flow_run(child, timeout=PATIENCE).state.name == "Cancelled"
    assert waiting_runs() == set()


@in_processes
def test_a_child_that_its_parent_does_not_wait_for_ends_with_it(
    start_process: StartProcess,
) -> None:
    """Nobody would know of its answer."""
    start_process("nested.py", "0", "leave-child-behind")
    run_id = started("leave-child-behind/x")
    child = only_child_of(run_id)
    answer(run_id, 1)
    assert result_of(run_id) == 1
    assert wait_for_flow_run(child, timeout=PATIENCE).state.name == "Cancelled"
    assert waiting_runs() == set()


@in_processes
@pytest.mark.parametrize("leaves", [True, False])
def test_runs_of_deployments_that_wait_are_cancelled_with_their_parent(
    start_process: StartProcess, leaves: bool
) -> None:
    """Those that wait for an answer or a worker; not one that runs, nor one that has a key."""
    ended(served_leaf(start_process), signal.SIGTERM)
    start_process("nested.py", "0", "bring-up", "ask", "ask-later", "listen")
    observer = uuid4()
    run_id = started("bring-up/x", {"observer": str(observer)})
    states = ["Paused", "Suspended", "Scheduled", "Running", "Paused"]
    runs = [UUID(text.split()[1]) for text in received(observer, len(states))]
    until(lambda: [state_of(run) for run in runs] == states)
    deployed = {run.id for run in children_of(run_id) if run.deployment_id is not None}
    (shared,) = deployed.difference(runs)
    until(lambda: state_of(shared) == "Paused")
    cancel_flow_run(run_id, children=leaves)
    assert wait_for_flow_run(run_id, timeout=PATIENCE).state.name == "Cancelled"
    if leaves:
        until(lambda: state_of(runs[0]) == "Cancelled" == state_of(runs[4]))
        states = ["Cancelled", "Cancelled", "Cancelled", "Running", "Cancelled"]
    assert [state_of(run) for run in runs] == states
    assert state_of(shared) == "Paused"
    for run in {shared, *runs}:
        if state_of(run) != "Cancelled":
            cancel_flow_run(run)
            wait_for_flow_run(run, timeout=PATIENCE)


@in_processes
@by_both
def test_a_deployed_child_that_waits_in_a_flow_that_it_called_is_cancelled(
    start_process: StartProcess, name: str
) -> None:
    """Nobody is left who wants the answer."""
    start_process("nested.py", "0", "start-and-wait", name)
    run_id = started("start-and-wait/x", {"name": f"{name}/x"})
    child = only_child_of(run_id, "Running")
    asked = only_child_of(child)
    cancel_flow_run(run_id)
    for each in (run_id, child, asked):
        assert wait_for_flow_run(each, timeout=PATIENCE).state.name == "Cancelled"
    assert waiting_runs() == set()


def served_leaf(start_process: StartProcess) -> Process:
    worker = start_process("nested.py", "0", "leaf")
    assert result_of(started("leaf/x", {"number": 1})) == 1
    return worker


def received(observer: UUID, count: int) -> list[str]:
    inbox = receive_input(str, flow_run_id=observer, timeout=PATIENCE)
    return [inbox.next() for _ in range(count)]


@in_processes
@pytest.mark.parametrize("name", ["leave-by-own-id", "sync-leave-by-own-id"])
def test_a_run_that_suspends_itself_by_its_id_leaves(
    start_process: StartProcess, name: str
) -> None:
    """At that call, though no verb follows; when it is resumed, the call returns."""
    start_process("nested.py", "0", name)
    run_id = started(f"{name}/x")
    until(lambda: state_of(run_id) == "Suspended")
    resume_flow_run(run_id)
    assert result_of(run_id) == "resumed"


@in_processes
def test_a_called_flow_that_suspends_its_caller_leaves_with_it(start_process: StartProcess) -> None:
    """At that call, in the same way."""
    start_process("nested.py", "0", "left-by-child")
    run_id = started("left-by-child/x")
    until(lambda: state_of(run_id) == "Suspended")
    resume_flow_run(run_id)
    assert result_of(run_id) == "resumed"


@in_processes
@pytest.mark.parametrize("name", ["cancel-by-own-id", "sync-cancel-by-own-id"])
def test_a_run_that_cancels_itself_by_its_id_leaves(start_process: StartProcess, name: str) -> None:
    """At that call, though no verb follows."""
    start_process("nested.py", "0", name)
    run = wait_for_flow_run(started(f"{name}/x"), timeout=PATIENCE)
    assert run.state.name == "Cancelled"
