"""Flows called in flows: when the outer one runs again, it finds what the inner ones have done."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from faults import PATIENCE, answer, result_of, started, state_of, until

from runbus import cancel_flow_run, flow, get_client, get_run_context, wait_for_flow_run
from runbus.background.bridge import run as block
from runbus.protocol.keys import tag
from runbus.store.bus import current_bus
from runbus.store.records import executions

if TYPE_CHECKING:
    from uuid import UUID

    from faults import Call, StartProcess, StartWorker
    from forked import Process
    from servers import Server

    from runbus.protocol.records import FlowRun

in_processes = pytest.mark.parametrize("server", ["valkey"], indirect=True)
FAMILIES = ["family", "sync-family"]
AS_IT_IS_TAKEN = "runbus.execution.subflows:ChildCall._find_attempt:2:STOP"
"""It has been found, and its script is on its way."""


def children_of(run_id: UUID) -> list[FlowRun]:
    found = block(lambda: get_client().read_flow_runs())
    return [run for run in found if run.parent_run_id == run_id]


def only_child_of(run_id: UUID) -> UUID:
    (child,) = until(lambda: children_of(run_id))
    return child.id


def forget_pulse(of_tag: str) -> None:
    """Have nobody look for long enough at a tag to be sure that an owner of runs is dead."""
    block(lambda: (bus := current_bus()).commands.command("DEL", bus.keys.pulse(of_tag)))


def take_from_the_dead(run_id: UUID) -> None:
    """Do as one who has looked for long at the run, whose process is dead."""

    async def look() -> tuple[str, str]:
        bus, run = current_bus(), await get_client().read_flow_run(run_id)
        await executions.check_owner(bus, run)
        await bus.commands.command("HSET", bus.keys.pulse(tag(run_id)), "since", "0")
        return await executions.check_owner(bus, run)

    assert block(look) == ("TAKEN", "Pending")


def is_stopped(process: Process) -> bool:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def end(worker: Process, number: int) -> None:
    worker.send_signal(number)
    worker.wait(PATIENCE)


@in_processes
@pytest.mark.parametrize("name", FAMILIES)
def test_a_child_that_has_completed_is_not_run_again(start_worker: StartWorker, name: str) -> None:
    """Its parent's next execution is given what it returned, as the type that it returned."""
    first = start_worker(name)
    run_id = started(f"{name}/x")
    child = only_child_of(run_id)
    answer(child, 1)
    until(lambda: block(lambda: get_client().read_pauses(child))[0].state == "answered")
    answer(child, 2)
    until(lambda: state_of(run_id) == "Paused")
    end(first, signal.SIGKILL)
    start_worker(name)
    answer(run_id, True)
    assert result_of(run_id) == ["tuple", 1, 2, True]
    assert [(run.id, run.run_count) for run in children_of(run_id)] == [(child, 1)]


@in_processes
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_that_was_left_half_way_goes_on(
    start_worker: StartWorker, name: str, how: int
) -> None:
    """It keeps its answers, whether its process was killed or told to end."""
    first = start_worker(name)
    run_id = started(f"{name}/x")
    child = only_child_of(run_id)
    answer(child, 1)
    until(lambda: len(block(lambda: get_client().read_pauses(child))) == 2)
    end(first, how)
    start_worker(name)
    answer(child, 2)
    answer(run_id, True)
    assert result_of(run_id) == ["tuple", 1, 2, True]
    assert [(run.id, run.state.name) for run in children_of(run_id)] == [(child, "Completed")]
    asked = block(lambda: get_client().read_pauses(child))
    assert [pause.generation for pause in asked] == [1, 1]


@in_processes
@pytest.mark.parametrize("name", FAMILIES)
def test_a_child_that_is_taken_from_the_dead_meanwhile_goes_on(
    start_worker: StartWorker, name: str
) -> None:
    """Whoever sees that its process is dead may change it just before its parent has it."""
    first = start_worker(name)
    run_id = started(f"{name}/x", idempotency_key="in a tag of its own")
    child = only_child_of(run_id)
    assert tag(child) != tag(run_id)
    answer(child, 1)
    until(lambda: len(block(lambda: get_client().read_pauses(child))) == 2)
    end(first, signal.SIGKILL)
    second = start_worker(name, fault=AS_IT_IS_TAKEN)
    until(lambda: (forget_pulse(tag(child)), is_stopped(second))[1])
    take_from_the_dead(child)
    second.send_signal(signal.SIGCONT)
    answer(child, 2)
    answer(run_id, True)
    assert result_of(run_id) == ["tuple", 1, 2, True]
    assert [run.id for run in children_of(run_id)] == [child]


@in_processes
def test_a_child_that_goes_on_has_one_name(start_process: StartProcess, tmp_path: Path) -> None:
    """After a crash each of its lines carries the name that its first one had."""
    first = start_process("served.py", "0", "family", said=tmp_path / "first")
    run_id = started("family/x")
    child = only_child_of(run_id)
    answer(child, 1)
    end(first, signal.SIGKILL)
    second = start_process("served.py", "0", "family", said=tmp_path / "second")
    answer(child, 2)
    answer(run_id, True)
    result_of(run_id)
    end(second, signal.SIGTERM)
    (name,) = [run.name for run in children_of(run_id)]
    assert f"{name}: a run of ask-twice begins" in (tmp_path / "first").read_text()
    assert f"{name}: Completed" in (tmp_path / "second").read_text()


@in_processes
@pytest.mark.parametrize("name", FAMILIES)
def test_a_child_is_cancelled_with_its_parent(start_worker: StartWorker, name: str) -> None:
    """At once, where it waits."""
    start_worker(name)
    run_id = started(f"{name}/x")
    child = only_child_of(run_id)
    until(lambda: state_of(child) == "Paused")
    cancel_flow_run(run_id)
    assert wait_for_flow_run(run_id, timeout=PATIENCE).state.name == "Cancelled"
    assert state_of(child) == "Cancelled"


@in_processes
def test_a_child_has_no_life_of_its_own(start_worker: StartWorker, call: Call) -> None:
    """Its process is gone, and its parent ends without it: it has ended, too."""
    first = start_worker("family")
    run_id = started("family/x")
    child = only_child_of(run_id)
    until(lambda: state_of(child) == "Paused")
    end(first, signal.SIGKILL)
    start_worker("double")  # which does not go on with it
    until(lambda: state_of(run_id) == "Scheduled")
    until(lambda: state_of(child) == "Pending")  # it waits for its parent
    cancel_flow_run(run_id)
    assert state_of(child) in {"Cancelled", "Crashed"}  # by who cancels, or by who finds it dead


def test_a_retry_finds_the_children_of_the_first_call(valkey: Server) -> None:
    """Those that gave what JSON can give back; others, and those that failed, run again."""
    calls: list[str] = []
    ids: list[UUID] = []

    @flow
    def exact(number: int) -> tuple[int, bytes]:
        calls.append(f"exact {number}")
        return number, b"\xff is no text"

    @flow
    def inexact():  # type: ignore[no-untyped-def]
        calls.append("inexact")
        return {1, 2}

    @flow
    def fails_once() -> int:
        calls.append("fails once")
        if calls.count("fails once") == 1:
            raise ValueError("once")
        return 3

    @flow(retries=1)
    def parent() -> list[Any]:
        ids.append(get_run_context().run_id)
        return [exact(1), exact(2), inexact(), fails_once()]

    assert parent() == [(1, b"\xff is no text"), (2, b"\xff is no text"), {1, 2}, 3]
    assert calls == [*("exact 1", "exact 2", "inexact", "fails once"), *("inexact", "fails once")]
    assert len(children_of(ids[0])) == 6


def test_a_child_that_is_called_with_something_else(valkey: Server) -> None:
    """What it returned the first time is not the answer to that."""
    numbers = iter(range(9))

    @flow
    def double(number: int) -> int:
        return number * 2

    @flow(retries=1)
    def parent() -> int:
        number = next(numbers)
        found = double(number)
        if number == 0:
            raise ValueError("again")
        return found

    assert parent() == 2
