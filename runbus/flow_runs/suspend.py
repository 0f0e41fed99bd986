"""Suspend: a flow asks and leaves its process; with the answer it runs again, from its start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from runbus.errors import (
    AlreadyEnded,
    CannotPause,
    FlowRunSuspended,
)
from runbus.execution.current_run import current_flow_run, leave_with, running_flow
from runbus.execution.verbs import verb
from runbus.flow_runs.ask import ask
from runbus.protocol.ids import parse_run_id
from runbus.store.bus import current_bus
from runbus.store.records import control, runs

if TYPE_CHECKING:
    from uuid import UUID

    from typing_extensions import TypeVar

    from runbus.background.pending import Pending
    from runbus.protocol.records import FlowRun

    T = TypeVar("T", default=None)
    V = TypeVar("V", default=Pending[None])


@overload
async def asuspend_flow_run(
    wait_for_input: type[T] | None = None,
    flow_run_id: UUID | str | None = ...,
    timeout: float | None = ...,
    key: str | None = ...,
) -> T: ...
@overload
async def asuspend_flow_run(
    wait_for_input: object,
    flow_run_id: UUID | str | None = ...,
    timeout: float | None = ...,
    key: str | None = ...,
) -> Any: ...
async def asuspend_flow_run(
    wait_for_input: object = None,
    flow_run_id: UUID | str | None = None,
    timeout: float | None = None,
    key: str | None = None,
) -> object:
    """Leave the process until somebody resumes the run; the flow then runs again from the start.

    Then this call returns the answer, and so does each pause before it. The arguments are those of
    `apause_flow_run`. With the `flow_run_id` of another run, that run is asked to suspend itself:
    at once where it waits or is the caller of this one, elsewhere at its next verb.

    Raises `CannotPause` for a run without a deployment, since nobody would go on with it.
    """
    if flow_run_id is not None and not _is_current(parse_run_id(flow_run_id)):
        return await _suspend_other(parse_run_id(flow_run_id))
    run = running_flow("suspend_flow_run")
    _check_deployed(run.flow_run)
    return await ask(run, wait_for_input, timeout, None, key)


def _is_current(run_id: UUID) -> bool:
    run = current_flow_run()
    return run is not None and run.run_id == run_id


async def _suspend_other(run_id: UUID) -> None:
    bus = current_bus()
    run = await runs.read(bus, run_id)
    _check_deployed(run)
    if await runs.move(bus, run, "Suspended", after=["Scheduled"]) is None:
        return
    run = await runs.read(bus, run_id)
    if run.state.is_final():
        raise AlreadyEnded(flow_run_id=run.id, state=run.state.name)
    if run.state.name != "Suspended":
        await control.signal(bus, run.id, "suspend", run.epoch)
        leave_with(run_id, FlowRunSuspended(run_id))


def _check_deployed(run: FlowRun) -> None:
    if run.deployment_id is None:
        raise CannotPause(
            f"flow run {run.id} was called directly, so no worker would go on with it: serve its "
            "flow (`some_flow.serve(name='…')`) and start it with run_deployment, or pause it."
        )


@overload
def suspend_flow_run(
    wait_for_input: type[V] | None = None,
    flow_run_id: UUID | str | None = ...,
    timeout: float | None = ...,
    key: str | None = ...,
) -> V: ...
@overload
def suspend_flow_run(
    wait_for_input: object,
    flow_run_id: UUID | str | None = ...,
    timeout: float | None = ...,
    key: str | None = ...,
) -> Any: ...
def suspend_flow_run(
    wait_for_input: object = None,
    flow_run_id: UUID | str | None = None,
    timeout: float | None = None,
    key: str | None = None,
) -> object:
    """See `asuspend_flow_run`; a type checker reads it as `pause_flow_run`."""
    return verb("suspend_flow_run", asuspend_flow_run, wait_for_input, flow_run_id, timeout, key)
