"""Who answers a run, or lists it, is told when nobody waits for the answer, and when it waits."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from faults import LEASE_SECONDS, PATIENCE, result_of, started, state_of, until
from monitor import Monitor

from runbus import (
    cancel_flow_run,
    flow,
    get_client,
    resume_flow_run,
    run_deployment,
    wait_for_flow_run,
)
from runbus.background.bridge import run as block
from runbus.errors import OwnerGone, OwnerSilent, RightMissing
from runbus.settings import temporary_settings
from runbus.store.bus import current_bus
from runbus.store.connection import scripts
from runbus.store.records import deployments, executions, runs, workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from faults import StartProcess, StartWorker
    from forked import Process
    from servers import Server

    from runbus.protocol.records import FlowRun


@pytest.fixture(autouse=True)
def short_lease(server: Server, configure: Callable[..., None]) -> None:
    configure(lease_seconds=LEASE_SECONDS)


def waiting(**options: bool) -> list[UUID]:
    found = block(lambda: get_client().read_waiting(**options))
    return [each.run.id for each in found]


def asked_by(process: Process) -> UUID:
    """The run in which a process waits."""
    (run_id,) = until(lambda: process.poll() is None and waiting())
    return run_id


def killed(process: Process) -> None:
    process.kill()
    process.wait()


def until_no_lease(server: Server) -> None:
    """Wait until nobody has a lease: others look for another one before they say who is dead."""
    with server.client() as client:
        until(lambda: not client.keys("*:lease:*"))


def run_named(flow_name: str) -> FlowRun:
    (found,) = block(lambda: get_client().read_flow_runs(flow_name=flow_name))
    return found


@pytest.mark.parametrize("name", ["ask", "ask_in_a_child"])
def test_an_answer_to_a_dead_process_is_refused(
    server: Server, start_process: StartProcess, name: str
) -> None:
    """The run, and the one in which it was called, are `Crashed`; who answers is told so."""
    process = start_process("direct.py", name)
    run_id = asked_by(process)
    killed(process)
    until_no_lease(server)
    with pytest.raises(OwnerGone, match="its process ended, and nobody waits"):
        resume_flow_run(run_id, {"value": 1})
    assert state_of(run_id) == run_named(name.replace("_", "-")).state.name == "Crashed"
    assert waiting() == []
    with pytest.raises(OwnerGone):
        resume_flow_run(run_id, {"value": 1})
    assert [each.state for each in block(lambda: get_client().read_pauses(run_id))] == ["cancelled"]


def test_who_may_not_see_leases_calls_nobody_dead(
    server: Server, start_process: StartProcess
) -> None:
    """However often it looks: what it lacks is a right, and no process its life."""
    run_id = asked_by(start_process("direct.py", "ask"))
    with server.client() as client:
        client.acl_setuser("blind", enabled=True, nopass=True, keys="*", commands=["+@all", "-get"])
        url = server.url.replace("redis://", "redis://blind:any@")
        with temporary_settings(url=url, lease_seconds=LEASE_SECONDS):
            begun = time.monotonic()
            while time.monotonic() - begun < 2 * LEASE_SECONDS:
                with pytest.raises(RightMissing, match="check_owner"):
                    block(lambda: look_after_owner_of(run_id))
        client.acl_deluser("blind")
    assert state_of(run_id) == "Paused"
    cancel_flow_run(run_id)
    wait_for_flow_run(run_id, timeout=PATIENCE)


async def look_after_owner_of(run_id: UUID) -> None:
    bus = current_bus()
    await executions.check_owner(bus, await runs.read(bus, run_id))


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
@pytest.mark.parametrize("name", ["ask", "ask_in_a_child"])
def test_while_nobody_knows_whether_it_lives_nothing_is_changed(
    server: Server, start_process: StartProcess, name: str
) -> None:
    """Who would not wait is told so at once; a process that was frozen gets the answer after it."""
    process = start_process("direct.py", name)
    run_id = asked_by(process)
    os.kill(process.pid, signal.SIGSTOP)
    client = get_client()
    try:
        until_no_lease(server)
        begun = time.monotonic()
        with pytest.raises(OwnerSilent) as silent:
            block(lambda: client.answer_flow_run(run_id, {"value": 1}))
        assert time.monotonic() - begun < LEASE_SECONDS
        assert (silent.value.key, silent.value.generation) == ("1", 1)
        assert (state_of(run_id), waiting(check_owners=True)) == ("Paused", [run_id])
    finally:
        os.kill(process.pid, signal.SIGCONT)
    resumed = until(
        lambda: block(lambda: client.answer_flow_run(run_id, {"value": 1})), OwnerSilent
    )
    assert not resumed.waits_for_worker
    assert process.wait(PATIENCE) == 0
    assert state_of(run_id) == "Completed"


def test_a_ghost_leaves_the_list_while_somebody_looks(start_process: StartProcess) -> None:
    """Within two leases or so of its process's end; the living stay, and all are looked after."""
    living, dying = start_process("direct.py", "ask"), start_process("direct.py", "ask_in_a_child")
    until(lambda: len(waiting()) == 2)
    alive = run_named("ask-in-a-child").id
    assert living.poll() is None
    killed(dying)
    begun = time.monotonic()
    until(lambda: len(waiting(check_owners=True)) == 1)
    assert LEASE_SECONDS <= time.monotonic() - begun < 6 * LEASE_SECONDS
    assert state_of(alive) == "Crashed"
    (run_id,) = waiting(check_owners=True)
    resume_flow_run(run_id, {"value": 1})
    assert living.wait(PATIENCE) == 0


@pytest.mark.parametrize("name", ["ask", "ask_in_a_child"])
@pytest.mark.parametrize("is_cancelled", [False, True], ids=["killed", "cancelled"])
def test_who_waits_for_the_run_of_a_dead_process_is_told(
    server: Server, start_process: StartProcess, name: str, is_cancelled: bool
) -> None:
    """Though no worker is there to see it, and nobody else looks."""
    process = start_process("direct.py", name)
    asked_by(process)
    killed(process)
    run_id = run_named(name.replace("_", "-")).id
    if is_cancelled:
        cancel_flow_run(run_id)
    ended = wait_for_flow_run(run_id, timeout=10 * LEASE_SECONDS)
    assert ended.state.name == ("Cancelled" if is_cancelled else "Crashed")


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
def test_owners_are_looked_at_every_third_of_a_lease(
    server: Server, start_process: StartProcess, configure: Callable[..., None]
) -> None:
    """However often somebody lists what waits."""
    process = start_process("direct.py", "ask")
    run_id = asked_by(process)
    configure(lease_seconds=60)
    with server.client() as client, Monitor(client) as monitor:
        for _ in range(10):
            assert len(waiting(check_owners=True)) == 1
    sha = scripts.CHECK_OWNER.sha
    assert len([each for each in monitor.asked if sha in each.words[:2]]) == 1
    resume_flow_run(run_id, {"value": 1})
    assert process.wait(PATIENCE) == 0


def test_a_deployed_run_that_is_answered_waits_for_a_worker(
    server: Server, start_worker: StartWorker
) -> None:
    """Who answers is told so, with the dead worker's lease and without it."""
    worker = start_worker("sync-shop")
    run_id = started("sync-shop/x", {"item": "tea"})
    until(lambda: state_of(run_id) == "Paused")
    killed(worker)
    until_no_lease(server)
    resumed = block(lambda: get_client().answer_flow_run(run_id, {"value": 3}))
    assert resumed.waits_for_worker
    start_worker("sync-shop")
    until(lambda: state_of(run_id) == "Suspended")
    assert block(lambda: get_client().answer_flow_run(run_id, {"value": True})).waits_for_worker, (
        "it was suspended"
    )
    assert result_of(run_id) == ["tea", 3, True]


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
async def test_who_waits_for_a_run_that_nobody_serves_is_told(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """By a warning at once, or soon after the last worker has left; with one there is none."""

    @flow
    def nothing() -> int:
        return 1

    await deployments.register(current_bus(), "nothing/x", {"flow": "nothing"})
    first = await run_deployment("nothing/x", timeout=1)
    assert first.state.name == "Scheduled"
    assert f"no worker serves nothing/x now: {first.name} waits until one does" in caplog.text
    caplog.clear()
    serving = asyncio.create_task(nothing.serve("x"))
    while await get_client().is_served("nothing/x") is not True:
        await asyncio.sleep(0.01)
    assert (await run_deployment("nothing/x", timeout=PATIENCE)).state.result() == 1
    assert (await wait_for_flow_run(first.id)).state.result() == 1
    assert "no worker serves" not in caplog.text
    serving.cancel()
    await asyncio.wait([serving])
    last = await run_deployment("nothing/x", timeout=1.5 * workers.SERVED_SECONDS)
    assert f"no worker serves nothing/x now: {last.name} waits until one does" in caplog.text
    await cancel_flow_run(last.id)


def test_who_waits_for_a_run_whose_worker_was_killed_before_is_told(
    server: Server, start_worker: StartWorker, caplog: pytest.LogCaptureFixture
) -> None:
    """Once that worker is listed no more."""
    del server
    worker = start_worker("double")
    assert result_of(started("double/x", {"number": 1})) == 2
    killed(worker)
    longest = workers.SERVED_SECONDS + (workers.LISTED_LEASES + 1) * LEASE_SECONDS
    run = run_deployment("double/x", {"number": 2}, timeout=longest)
    assert f"no worker serves double/x now: {run.name} waits until one does" in caplog.text
    cancel_flow_run(run.id)
