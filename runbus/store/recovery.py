"""Recovery: runs of processes that are gone are scheduled again, or recorded as crashed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from runbus.errors import RunMissing
from runbus.store import deployments, runs, turns

if TYPE_CHECKING:
    from uuid import UUID

    from runbus.store.bus import Bus

MAX_LOSSES = 3
"""After how many processes that died while they executed it a run is crashed."""
LOSSES_IN_COMPANY = 2
"""After how many of them it is executed alone: any run of the process may have ended it."""
PROBATION_LEASES = 2
"""How many lease times after it has begun in another process its losses are forgotten."""

_log = logging.getLogger("runbus.flow_runs")


async def take_from_the_dead(bus: Bus, seconds: float) -> None:
    """Look for processes without a lease and take their runs from them.

    If no other process has done so in the last so many seconds.
    """
    if not await turns.take(bus, "recovery", seconds):
        return
    owners = await runs.owners(bus)
    if not owners:
        return
    leases = [("EXISTS", bus.keys.lease(owner)) for owner in owners]
    alive = await bus.requests.commands(*leases)
    for (owner, run_ids), lives in zip(owners.items(), alive, strict=True):
        for run_id in () if lives else run_ids:
            await _take(bus, owner, run_id)


async def _take(bus: Bus, owner: str, run_id: UUID) -> None:
    try:
        if await runs.reclaim(bus, run_id, owner, MAX_LOSSES):
            await _hint(bus, run_id)
            return
        if await _is_part_of_another(bus, run_id):
            return
        await runs.move(bus, run_id, "Crashed", "its process ended without a word")
        _log.error("flow run %s: Crashed (its process ended without a word)", run_id)
    except RunMissing:
        pass  # expired meanwhile


async def _hint(bus: Bus, run_id: UUID) -> None:
    run = await runs.read(bus, run_id)
    if run.deployment_id is not None:
        await deployments.hint(bus, run.deployment_id, run_id)


async def _is_part_of_another(bus: Bus, run_id: UUID) -> bool:
    # Its parent goes on with it when that one runs again; once that has ended, nobody does.
    run = await runs.read(bus, run_id)
    if run.parent_run_id is None or run.deployment_id is not None:
        return False
    (parent,) = await runs.read_several(bus, [run.parent_run_id])
    return parent is not None and not parent.state.is_final()
