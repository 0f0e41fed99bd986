"""Ends and retries that are executed late, that a failover loses, and that another epoch drops.

The calls are on a simulated wire, so that one can be executed late; code, scripts and server are
real.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from runtime_judge import Judge, Violation
from runtime_rules import Rules
from simulated_process import DEPLOYMENT, Process, one_after_another
from simulated_server import THIRD, SimulatedServer
from simulated_wire import Wire

from runbus.store.connection import scripts
from runbus.store.maintenance import reconciliation, recovery

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from servers import Server
    from simulated_process import Execution

RUN = UUID(int=1 << 8)


class World:
    """One worker that executes a run."""

    def __init__(self, valkey: Server) -> None:
        client = valkey.client(decode_responses=False, protocol=3)
        for script in scripts.ALL:
            client.script_load(script.source)
        connection = client.connection_pool.get_connection()
        rules = Rules()
        self.processes: dict[str, Process] = {}
        self.server = SimulatedServer(connection, rules.lease_pattern, has_replica=True)
        self.judge = Judge(rules, self.server, self.processes, (Violation,))
        self.judge.run_ids.append(str(RUN))
        self.wire = Wire(self.judge.execute)
        self.worker = self.add("worker")
        fields = {"flow": "flow", "name": "run", "parameters": "{}", "deployment": DEPLOYMENT}
        self.do(self.worker.create(RUN, fields))
        self.do(self.worker.claim(RUN))

    def add(self, name: str) -> Process:
        process = self.processes[name] = Process(name, self.wire, lambda: self.server.passed)
        return process

    def do(self, work: Coroutine[None, None, None], calls: int = 100) -> None:
        self.wire.finish(self.wire.start(self.worker, work), calls)

    @property
    def execution(self) -> Execution:
        return self.worker.executions()[0]

    @property
    def record(self) -> dict[str, str]:
        return self.judge.records.runs[str(RUN)]


@pytest.fixture
def world(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A worker that executes a run."""
    monkeypatch.setattr(recovery, "available", one_after_another)
    monkeypatch.setattr(reconciliation, "available", one_after_another)
    world = World(valkey)
    yield world
    world.wire.close()


@pytest.mark.keys_without_lifetime
def test_a_retry_that_is_recorded_late_once_more_changes_nothing(world: World) -> None:
    """The first retry's lost try is executed after the second retry: the run goes on as it was."""
    world.do(world.worker.retry(world.execution), calls=0)
    (first,) = world.wire.calls
    world.wire.lose(first, again=True)
    world.wire.finish(first.task)
    world.do(world.worker.retry(world.execution))
    assert (world.record["state_name"], world.record["retry"]) == ("Running", "2")
    world.wire.execute(first)
    assert (world.record["state_name"], world.record["retry"]) == ("Running", "2")


@pytest.mark.keys_without_lifetime
def test_a_suspend_that_a_failover_loses_after_a_retry_gives_the_run_back(world: World) -> None:
    """The retry is not taken for the run's end: the process knows nothing of the run any more."""
    world.do(world.worker.retry(world.execution))
    world.do(world.worker.pause(world.execution, "a", "Suspended", None))
    assert world.record["state_name"] == "Suspended"
    world.server.fail_over(1)
    world.judge.read_again()
    assert world.record["owner"] == "worker"
    world.do(world.worker.renew())
    world.do(world.worker.reconcile())
    assert world.record["state_name"] == "Scheduled"
    assert "owner" not in world.record


@pytest.mark.keys_without_lifetime
def test_a_retry_that_a_failover_loses_goes_on(world: World) -> None:
    """The run is recorded as running when it begins again: it is not taken for a cancelled one."""
    world.do(world.worker.retry(world.execution), calls=1)
    assert world.record["state_name"] == "Pending"
    world.server.fail_over(1)
    world.judge.read_again()
    (beginning,) = world.wire.calls
    world.wire.finish(beginning.task)
    assert world.record["state_name"] == "Running"
    assert not world.execution.is_busy


@pytest.mark.keys_without_lifetime
def test_a_claim_that_a_failover_loses_is_made_again(world: World) -> None:
    """The same call, executed once more, begins the same epoch: its process has the run."""
    world.do(world.worker.end(world.execution, "Scheduled"))
    world.do(world.worker.claim(RUN), calls=0)
    (claim,) = world.wire.calls
    world.wire.execute(claim)
    epoch = world.record["epoch"]
    world.wire.lose(claim, again=True)
    world.server.fail_over(1)
    world.judge.read_again()
    assert world.record["state_name"] == "Scheduled"
    world.wire.finish(claim.task)
    assert (world.record["owner"], world.record["epoch"]) == ("worker", epoch)
    assert world.execution.epoch == epoch


def lose_the_run(world: World) -> None:
    """Let the worker sleep until another one has taken its run, which counts as a crash."""
    world.worker.is_suspect = True
    world.server.end_lease("worker")
    other = world.add("other")
    for _ in range(4):
        world.judge.read_again()
        world.do(other.look())
        world.server.pass_time(THIRD)
    assert (world.record["state_name"], world.record["crashes"]) == ("Scheduled", "1")


@pytest.mark.keys_without_lifetime
def test_a_process_that_lived_has_its_crash_forgiven_by_an_end_that_is_dropped(
    world: World,
) -> None:
    """It was asleep, its run was taken, and its flow has ended before it was told."""
    lose_the_run(world)
    world.do(world.worker.end(world.execution, "Completed"))
    assert not world.worker.executions()
    assert (world.record["state_name"], world.record["crashes"]) == ("Scheduled", "0")


@pytest.mark.keys_without_lifetime
def test_a_loss_is_forgiven_later_when_the_server_does_not_hear_of_it_at_once(
    world: World,
) -> None:
    """The reply is lost, with the execution that knew of it: the next comparison asks again."""
    lose_the_run(world)
    world.do(world.worker.renew())
    world.do(world.worker.reconcile(), calls=2)  # what it holds, the run; the third one is lost
    assert not world.worker.executions()
    assert world.record["crashes"] == "1"
    (lost,) = world.wire.calls
    world.wire.lose(lost, again=False)
    world.wire.finish(lost.task)
    assert world.record["crashes"] == "1"
    world.do(world.worker.reconcile())
    assert (world.record["state_name"], world.record["crashes"]) == ("Scheduled", "0")
