"""Processes that are killed at each step of what they do: no run is stranded or starts twice.

A step is a request to the server; `fault_points.py` kills its process before the n-th one.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from faults import PATIENCE, answer, result_of, started, state_of, until

from runbus import get_client, run_deployment
from runbus.background.bridge import run as block
from runbus.errors import RunMissing
from runbus.protocol.ids import flow_run_id_for
from runbus.store.bus import current_bus
from runbus.store.records import pauses

if TYPE_CHECKING:
    from uuid import UUID

    from faults import Call, StartWorker

    from runbus.protocol.records import FlowRun, Pause

KILLED = -signal.SIGKILL
pytestmark = pytest.mark.parametrize("server", ["valkey"], indirect=True)


def read_run(run_id: UUID) -> FlowRun:
    return block(lambda: get_client().read_flow_run(run_id))


def read_pause(run_id: UUID, key: str) -> Pause:
    async def read() -> Pause:
        pause = await pauses.read(current_bus(), run_id, key)
        assert pause is not None
        return pause

    return block(read)


def test_a_caller_killed_at_each_step_of_run_deployment(
    start_worker: StartWorker, call: Call
) -> None:
    """Once its run is there it goes on; who calls again under the same key is given that run."""
    start_worker("double")
    assert result_of(started("double/x", {"number": 1})) == 2
    made: list[bool] = []
    codes: list[int] = []
    for step in range(1, 5):
        order = {
            "name": "double/x",
            "parameters": {"number": step},
            "idempotency_key": f"order {step}",
            "timeout": 0,
        }
        fault = f"runbus.deployments:arun_deployment:{step}"
        codes.append(call("run_deployment", fault=fault, **order))
        run_id = flow_run_id_for("deployment double/x", f"order {step}")
        try:
            read_run(run_id)
        except RunMissing:
            made.append(False)
        else:
            made.append(True)
            assert result_of(run_id) == 2 * step  # before anybody calls again
        again = run_deployment(**order)
        assert again.id == run_id
        assert result_of(run_id) == 2 * step
        assert read_run(run_id).run_count == 1
    # To read the deployment, make the run and hint at it; then it has returned.
    assert codes == [*[KILLED] * 3, 0]
    assert made == [False, False, True, True]
    assert len(block(lambda: get_client().read_flow_runs())) == 5


@pytest.mark.parametrize("step", range(1, 5))
def test_a_flow_killed_at_each_step_of_run_deployment(start_worker: StartWorker, step: int) -> None:
    """It runs again elsewhere, and finds the child that it had started."""
    start_worker("double")
    other = started("double/x", {"number": 1})  # so it is served when the parent runs
    first = start_worker("parent", fault=f"runbus.deployments:arun_deployment:{step}")
    run_id = started("parent/x")
    assert first.wait(PATIENCE) == KILLED
    start_worker("parent")
    assert result_of(run_id) == 42
    found = block(lambda: get_client().read_flow_runs())
    children = [each for each in found if each.id not in {run_id, other}]
    assert [(each.parent_run_id, each.run_count) for each in children] == [(run_id, 1)]


def test_an_answerer_killed_at_each_step(start_worker: StartWorker, call: Call) -> None:
    """A suspended run whose answer was accepted goes on although nobody was told of it."""
    start_worker("shop")
    codes: list[int] = []
    accepted: list[bool] = []
    for step in range(1, 5):
        run_id = started("shop/x", {"item": "tea"})
        answer(run_id, step)
        until(lambda run_id=run_id: state_of(run_id) == "Suspended")
        fault = f"runbus.flow_runs.resume:aresume_flow_run:{step}"
        options = {"flow_run_id": str(run_id), "run_input": {"value": True}}
        codes.append(call("resume_flow_run", fault=fault, **options))
        accepted.append(read_pause(run_id, "2").state == "answered")
        if not accepted[-1]:
            answer(run_id, False)
        assert result_of(run_id) == ["tea", step, accepted[-1]]
    # To read the run with its pause, answer it and hint at the run; then it has returned.
    assert codes == [*[KILLED] * 3, 0]
    assert accepted == [False, False, True, True]


@pytest.mark.parametrize("name", ["shop", "sync-shop"])
@pytest.mark.parametrize("step", [1, 2])
def test_a_worker_killed_at_each_step_of_a_pause(
    start_worker: StartWorker, name: str, step: int
) -> None:
    """Pausing, and just answered: its run goes on elsewhere and is answered once.

    What wakes it brings the answer, so its next request is most often the next question.
    """
    first = start_worker(name, fault=f"runbus.flow_runs.ask:_ask:{step}")
    run_id = started(f"{name}/x", {"item": "tea"})
    if step > 1:  # it dies when it is told of the answer, or later
        answer(run_id, 3)
    assert first.wait(PATIENCE) == KILLED
    start_worker(name)
    if step == 1:  # it died before it had asked
        answer(run_id, 3)
    answer(run_id, True)
    assert result_of(run_id) == ["tea", 3, True]
    asked = [read_pause(run_id, key) for key in ("1", "2")]
    assert [pause.generation for pause in asked] == [1, 1]


@pytest.mark.parametrize(
    "point",
    [
        "runbus.worker.claims:Claims._ask:1",
        "runbus.execution.run:Execution.conclude:1",
        "runbus.store.maintenance.kept_ends:try_once:1",
    ],
)
def test_a_worker_killed_around_a_run(start_worker: StartWorker, point: str) -> None:
    """Before it takes a run, and when it has it, before it records what the flow returned."""
    first = start_worker("double", fault=point)
    run_id = started("double/x", {"number": 4})
    assert first.wait(PATIENCE) == KILLED
    start_worker("double")
    assert result_of(run_id) == 8
