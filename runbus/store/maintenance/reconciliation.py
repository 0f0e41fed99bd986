"""Reconciliation: what the server says that a process executes, compared with what it executes.

After each renewal, both ways, by run and epoch. A run that only the server knows of is released:
its claim came without a reply, or its end was lost by a failover and is recorded again. A run that
only the process knows of ends here: another one has it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from runbus.errors import RunbusError, RunLost
from runbus.store import deployments, runs
from runbus.store.counts import counts
from runbus.store.maintenance.recovery import end_abandoned
from runbus.store.records import executions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runbus.store.bus import Bus
    from runbus.store.maintenance.holdings import Execution, Held, Holdings
    from runbus.store.maintenance.kept_ends import KeptEnd

_log = logging.getLogger("runbus.flow_runs")


async def reconcile(
    bus: Bus,
    process: str,
    holdings: Holdings,
    tags: Iterable[str],
    *,
    keep_again: Callable[[KeptEnd], object],
) -> list[str]:
    """Compare, in these tags; return those that could be read."""
    wanted = sorted(tags)
    before = {tag: holdings.snapshot(tag) for tag in wanted}
    replies = await executions.held_by(bus, process, wanted)
    for tag, found in replies.items():
        # What is only here is judged by what was here before the read, what is only there after.
        now = holdings.snapshot(tag)
        for held, execution in before[tag].executions.items():
            if held not in found and held in now.executions:
                await _lose(bus, execution)
        for held in found:
            if not now.explains(held):
                await _release(bus, process, holdings, held, keep_again)
    return list(replies)


async def _lose(bus: Bus, execution: Execution) -> None:
    counts.runs_lost += 1
    execution.end(RunLost(execution.run_id))
    _log.warning("flow run %s is not this process's any more", execution.run_id)
    # It was taken from a process that lives, so that was no crash.
    try:
        await executions.reset_crashes(bus, execution.run_id, execution.epoch)
    except RunbusError as error:
        _log.debug("the crash of %s stays counted: %s", execution.run_id, error)


async def _release(
    bus: Bus,
    process: str,
    holdings: Holdings,
    held: Held,
    keep_again: Callable[[KeptEnd], object],
) -> None:
    run_id, epoch = held
    end = holdings.recorded_end(held)
    if end is not None:
        _log.warning(
            "%s: its end (%s) was lost, and is recorded again",
            end.ending.run_name,
            end.ending.state,
        )
        keep_again(end)
        return
    (run,) = await runs.read_several(bus, [run_id])
    if run is None:
        return
    state = await executions.release(bus, run, epoch, process)
    if state:
        _log.warning("flow run %s: %s (this process does not execute it)", run_id, state)
    if state == "Scheduled" and run.deployment_id is not None:
        await deployments.hint(bus, run.deployment_id, run_id)
    elif state == "Pending" and run.parent_run_id is not None:
        await end_abandoned(bus, {run_id: run.parent_run_id})
