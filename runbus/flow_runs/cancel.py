"""Cancel: a run ends, and what it started and waits."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from runbus.errors import (
    AlreadyEnded,
    FlowRunCancelled,
    RunMissing,
)
from runbus.execution.current_run import leave_with
from runbus.execution.verbs import verb
from runbus.protocol import states
from runbus.protocol.ids import parse_run_id
from runbus.store.bus import current_bus
from runbus.store.records import child_runs, control, runs

if TYPE_CHECKING:
    from uuid import UUID

    from typing_extensions import TypeVar

    from runbus.background.pending import Pending
    from runbus.protocol.records import FlowRun

    T = TypeVar("T", default=None)
    V = TypeVar("V", default=Pending[None])


async def acancel_flow_run(flow_run_id: UUID | str, children: bool = True) -> None:
    """Ask a run to end: at once where it waits, elsewhere at its next verb or `await`.

    One that nobody executes has ended when this returns. The flows that it called end with it.
    With `children`, so do the runs of deployments that it started and that wait: for a worker, for
    an answer, or for their next retry; also where a flow that they called does. Those that run go
    on, also while they wait for an input or for the end of another run; and so do those that were
    started with an `idempotency_key`, since others may count on them.

    Raises `AlreadyEnded` and `RunMissing`.
    """
    bus = current_bus()
    run = await runs.read(bus, parse_run_id(flow_run_id))
    found: str | None = states.UNATTENDED[0]
    while found in states.UNATTENDED:  # until one of the two moves fits: others move it, too
        found = await runs.move(bus, run, "Cancelled", after=states.UNATTENDED)
        if found is not None:
            found = await runs.move(bus, run, "Cancelling")
    if found is not None and found != "Cancelling":
        raise AlreadyEnded(flow_run_id=run.id, state=found)
    # Whoever hears it: nothing follows on this, and the epoch of one that has ended is closed.
    await control.signal(bus, run.id, "cancel")
    run = await runs.read(bus, run.id)
    if children:
        await _cancel_waiting_children(run.id)
    if run.state.is_final():  # else the process that executes it does this
        await child_runs.end_called(bus, run.id, "Cancelled")
    leave_with(run.id, FlowRunCancelled(run.id))


async def _cancel_waiting_children(parent_run_id: UUID) -> None:
    for child in await child_runs.read(current_bus(), parent_run_id):
        if child.deployment_id is None:
            await _cancel_waiting_children(child.id)
        elif await _waits(child):
            with suppress(AlreadyEnded, RunMissing):
                await acancel_flow_run(child.id)


async def _waits(run: FlowRun) -> bool:
    """Whether a run waits, itself or in flows that it has called: all of them, if it has."""
    if run.state.name in states.WAITING or run.state.is_final():
        return run.state.name in states.WAITING
    parts = await child_runs.read(current_bus(), run.id)
    called = [each for each in parts if each.deployment_id is None and not each.state.is_final()]
    return bool(called) and all([await _waits(each) for each in called])


def cancel_flow_run(flow_run_id: UUID | str, children: bool = True) -> Pending[None]:
    """See `acancel_flow_run`."""
    return verb("cancel_flow_run", acancel_flow_run, flow_run_id, children)
