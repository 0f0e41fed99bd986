"""Recovery: the runs of the dead go on, and it costs nobody who lives one."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from faults import LEASE_SECONDS, PATIENCE, result_of, started, state_of, until
from lasting import Diary
from proxy import Proxy

from runbus import cancel_flow_run, get_client, resume_flow_run, wait_for_flow_run
from runbus.background.bridge import run as block
from runbus.errors import NotPaused
from runbus.protocol.execution import Ending, Owner
from runbus.store.bus import current_bus
from runbus.store.records import deployments, executions, runs
from runbus.store.records.executions import ClaimRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from faults import StartProcess
    from servers import Server

ROUND_TRIP_SECONDS = 0.005
DEAD_RUNS = 2000
UNSERVED_RUNS = 3000
TAGS_USED = 10
SERVED_RUNS = 20


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path)


def owner_named(process: str, seconds: float = LEASE_SECONDS) -> Owner:
    return Owner(process=process, lease=f"{int(1000 * seconds)} {process}")


async def create(ids: list[UUID], deployment: str) -> None:
    """Make runs of a deployment that wait for a worker, and tell nobody."""
    bus = current_bus()
    await deployments.register(bus, deployment, {"flow": deployment.partition("/")[0]})
    for at in range(0, len(ids), 200):
        fields = {
            "flow": deployment.partition("/")[0],
            "deployment": deployment,
            "parameters": "{}",
        }
        await asyncio.gather(*(runs.create(bus, run_id, fields) for run_id in ids[at : at + 200]))


async def claim(ids: list[UUID], deployment: str, owner: Owner) -> list[Any]:
    wanted = [
        ClaimRequest(run_id=run_id, deployment=deployment, digits=uuid4().hex[:8]) for run_id in ids
    ]
    return await executions.claim(current_bus(), wanted, owner)


def forget_all(server: Server) -> None:
    """Leave nothing of runs that nobody goes on with."""
    with server.client() as client:
        client.flushall()


# --- The dead --------------------------------------------------------------------------------


def test_thousands_of_runs_of_the_dead_cost_the_living_none(
    server: Server, start_process: StartProcess, diary: Diary
) -> None:
    """Over a slow connection, by a worker that executes runs of its own meanwhile."""
    dead = [uuid4() for _ in range(DEAD_RUNS)]
    with Proxy(server.host, server.port) as proxy:
        proxy.delay(ROUND_TRIP_SECONDS / 2)
        worker = start_process("lasting.py", "0", "hold", url=proxy.url)
        living = [started("hold/x", diary.given) for _ in range(20)]
        until(lambda: diary.count("begins") == 20)
        block(lambda: create(dead, "nobody/x"))
        block(lambda: claim(dead, "nobody/x", owner_named("dead")))
        until(lambda: count_scheduled("nobody/x") == DEAD_RUNS)
        diary.gate.touch()
        assert [result_of(run_id) for run_id in living] == ["held"] * 20
        found = [block(lambda run_id=each: get_client().read_flow_run(run_id)) for each in living]
        assert {run.run_count for run in found} == {1}
        assert diary.count("begins") == 20
        worker.kill()
        worker.wait()
    forget_all(server)


def count_scheduled(deployment: str) -> int:
    found = block(lambda: runs.count_scheduled(current_bus(), [deployment]))
    return found.get(deployment, 0)


def test_a_run_that_was_being_cancelled_when_its_worker_died(
    server: Server, start_process: StartProcess, diary: Diary
) -> None:
    """It is `Cancelled`, as somebody wanted, and nobody executes it again."""
    worker = start_process("lasting.py", "0", "sync-hold")
    run_id = started("sync-hold/x", diary.given)
    until(lambda: diary.count("begins") == 1)
    cancel_flow_run(run_id)
    assert state_of(run_id) == "Cancelling"
    worker.kill()
    worker.wait()
    start_process("lasting.py", "0", "sync-hold")
    assert wait_for_flow_run(run_id, timeout=PATIENCE).state.name == "Cancelled"
    assert diary.count("begins") == 1


def test_a_direct_run_that_was_being_cancelled_when_its_process_died(
    server: Server, start_process: StartProcess, diary: Diary
) -> None:
    """The same for one without a deployment, which would else be `Crashed`."""
    process = start_process("lasting.py", "called", "sync_hold", *diary.given.values())
    until(lambda: diary.count("begins") == 1)
    run_id = UUID(diary.runs("begins")[0])
    cancel_flow_run(run_id)
    process.kill()
    process.wait()
    start_process("lasting.py", "0", "quick")
    assert wait_for_flow_run(run_id, timeout=PATIENCE).state.name == "Cancelled"


# --- Who waits for a worker ------------------------------------------------------------------


def test_runs_that_nobody_serves_are_in_nobodys_way(
    server: Server, start_process: StartProcess
) -> None:
    """A sweep finds the others in the same tags, however many and how old those are."""
    unserved = [id_in(number % TAGS_USED) for number in range(UNSERVED_RUNS)]
    block(lambda: create(unserved, "nobody/x"))
    start_process("lasting.py", "0", "quick")
    assert result_of(started("quick/x")) == "done"
    served = [id_in(number % TAGS_USED) for number in range(SERVED_RUNS)]
    began = time.monotonic()
    block(lambda: create(served, "quick/x"))
    assert [result_of(run_id) for run_id in served] == ["done"] * SERVED_RUNS
    assert time.monotonic() - began < PATIENCE / 3
    assert count_scheduled("nobody/x") == UNSERVED_RUNS
    forget_all(server)


def id_in(tag: int) -> UUID:
    return UUID(f"{uuid4().hex[:-2]}{tag:02x}")


# --- Epochs ----------------------------------------------------------------------------------


@pytest.mark.keys_without_lifetime
async def test_two_claims_of_the_same_number_are_two(server: Server) -> None:
    """A failover has lost the first; its owner's end is refused in the run of the second."""
    run_id, bus = uuid4(), current_bus()
    await create([run_id], "f/x")
    with server.client(decode_responses=False) as client:
        kept = {key: client.dump(key) for key in client.scan_iter("*")}
        (first,) = await claim([run_id], "f/x", owner_named("first", 30))
        client.flushall()  # and what the promoted replica has instead
        for key, value in kept.items():
            client.restore(key, 0, value)
    (second,) = await claim([run_id], "f/x", owner_named("second", 30))
    assert first.epoch != second.epoch
    assert [each.epoch.partition("-")[0] for each in (first, second)] == ["1", "1"]
    assert await executions.end(bus, end_of(run_id, first.epoch)) == ("LOST", "Running")
    assert (await runs.read(bus, run_id)).owner == "second"
    assert await executions.end(bus, end_of(run_id, second.epoch)) == ("ENDED", "Completed")
    assert await executions.end(bus, end_of(run_id, first.epoch)) == ("LOST", "Completed")


@pytest.mark.keys_without_lifetime
@pytest.mark.parametrize("state", ["Cancelling", "Cancelled", "Crashed"])
async def test_a_called_run_that_is_to_end_is_not_taken_over(server: Server, state: str) -> None:
    """Whoever executes its parent now: it stays what it is, and its owner's."""
    run_id, bus = uuid4(), current_bus()
    fields = {"flow": "f", "parent": str(uuid4())}
    run = await runs.create(bus, run_id, fields, owner=owner_named("old", 30), digits="0" * 8)
    assert await runs.move(bus, run, state) is None
    found = await runs.read(bus, run_id)
    assert await executions.adopt(bus, found, owner_named("new", 30), "1" * 8) is None
    now = await runs.read(bus, run_id)
    assert (now.state.name, now.owner, now.epoch) == (state, found.owner, found.epoch)


def end_of(run_id: UUID, epoch: str) -> Ending:
    return Ending(run_id=run_id, run_name="a run", epoch=epoch, deployment="f/x", state="Completed")


# --- Direct runs -----------------------------------------------------------------------------


def test_who_answers_a_direct_run_whose_process_is_dead_is_told(
    server: Server, start_process: StartProcess, diary: Diary, configure: Callable[..., None]
) -> None:
    """The run has crashed, though no worker looks; its question takes no answer."""
    configure(lease_seconds=LEASE_SECONDS)  # for so long who answers looks at it
    process = start_process("lasting.py", "called", "ask", *diary.given.values())
    until(lambda: diary.count("begins") == 1)
    run_id = UUID(diary.runs("begins")[0])
    until(lambda: state_of(run_id) == "Paused")
    process.kill()
    process.wait()
    until(lambda: not leases_of(server))  # until then it may be alive, as far as anybody knows
    with pytest.raises(NotPaused, match="Crashed: its process ended"):
        resume_flow_run(run_id, {"value": 1})
    assert state_of(run_id) == "Crashed"
    assert block(lambda: get_client().read_waiting()) == []


def test_who_answers_a_run_whose_worker_is_dead_is_told_to_wait(
    server: Server,
    start_process: StartProcess,
    diary: Diary,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The answer is accepted, and the run goes on when another worker has it."""

    worker = start_process("lasting.py", "0", "ask")
    run_id = started("ask/x", diary.given)
    until(lambda: state_of(run_id) == "Paused")
    worker.kill()
    worker.wait()
    until(lambda: not leases_of(server))
    resume_flow_run(run_id, {"value": 4})
    assert "when another worker has it" in caplog.text
    start_process("lasting.py", "0", "ask")
    assert result_of(run_id) == 4
    with server.client() as client:
        (crashes,) = {client.hget(key, "crashes") for key in client.keys(f"*{run_id}:run")}
    assert crashes is None, "it waited when its process died, and executed nothing"


def leases_of(server: Server) -> list[str]:
    with server.client() as client:
        return client.keys("*:lease:*")
