"""Cancel: a run ends, and what it started and waits."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from runbus.background import unreached_children
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
from runbus.store.records import control, runs

if TYPE_CHECKING:
    from uuid import UUID

    from typing_extensions import TypeVar

    from runbus.background.pending import Pending
    from runbus.protocol.records import FlowRun
    from runbus.store.bus import Bus
    from runbus.store.records.child_runs import Children

    T = TypeVar("T", default=None)
    V = TypeVar("V", default=Pending[None])


async def acancel_flow_run(flow_run_id: UUID | str, children: bool = True) -> None:
    """Ask a run to end: at once where it waits, elsewhere at its next verb or `await`.

    One that nobody executes has ended when this returns. The flows that it called end with it.
    With `children`, so do the runs of deployments that it started and that wait: for a worker, for
    an answer, or for their next retry; also where a flow that they called does. Those that run go
    on, also while they wait for an input or for the end of another run; and so do those that were
    started with an `idempotency_key`, since others may count on them. In a cluster, what a primary
    has that is away ends once it is back, as long as this process lives.

    Raises `AlreadyEnded` and `RunMissing`.
    """
    bus = current_bus()
    run = await _end(bus, parse_run_id(flow_run_id))
    parts = await unreached_children.see_to(bus, partial(_end_parts, run, children))
    for run_id in (run.id, *parts.ended):
        leave_with(run_id, FlowRunCancelled(run_id))


async def _end(bus: Bus, run_id: UUID) -> FlowRun:
    run = await runs.read(bus, run_id)
    found: str | None = states.UNATTENDED[0]
    while found in states.UNATTENDED:  # until one of the two moves fits: others move it, too
        found = await runs.move(bus, run, "Cancelled", after=states.UNATTENDED)
        if found is not None:
            found = await runs.move(bus, run, "Cancelling")
    if found is not None and found != "Cancelling":
        raise AlreadyEnded(flow_run_id=run.id, state=found)
    # Whoever hears it: nothing follows on this, and the epoch of one that has ended is closed.
    await control.signal(bus, run.id, "cancel")
    return await runs.read(bus, run.id)


async def _end_parts(run: FlowRun, waiting: bool, children: Children) -> None:
    if waiting:
        await _cancel_waiting(run, run.id, children)
    if run.state.is_final():  # else the process that executes it does this
        await children.end_called(run.id, "Cancelled")


async def _cancel_waiting(root: FlowRun, parent_run_id: UUID, children: Children) -> None:
    for child in await children.of(parent_run_id):
        if child.deployment_id is None:
            await _cancel_waiting(root, child.id, children)
            continue
        if not _is_later(root, child, children) and await _waits(child, children):
            await children.end(child.id, partial(_try_to_end, children.bus, child.id))
        if child.id in children.ended:
            await _cancel_waiting(root, child.id, children)
            await children.end_called(child.id, "Cancelled")


def _is_later(root: FlowRun, child: FlowRun, children: Children) -> bool:
    # What was started by the code that cleans up is not to be cancelled by who comes later.
    cancelled = root.state.timestamp
    return children.is_again and cancelled is not None and child.created > cancelled


async def _try_to_end(bus: Bus, run_id: UUID) -> bool:
    with suppress(AlreadyEnded, RunMissing):
        await _end(bus, run_id)
        return True
    return False


async def _waits(run: FlowRun, children: Children) -> bool:
    """Whether a run waits, itself or in flows that it has called: all of them, if it has."""
    if run.state.name in states.WAITING or run.state.is_final():
        return run.state.name in states.WAITING
    parts = await children.of(run.id)
    called = [each for each in parts if each.deployment_id is None and not each.state.is_final()]
    return bool(called) and all([await _waits(each, children) for each in called])


def cancel_flow_run(flow_run_id: UUID | str, children: bool = True) -> Pending[None]:
    """See `acancel_flow_run`."""
    return verb("cancel_flow_run", acancel_flow_run, flow_run_id, children)
