"""Recovery: runs of processes that are gone are scheduled again, or recorded as crashed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from runbus.errors import RunMissing
from runbus.store import runs

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


async def take_from_the_dead(bus: Bus) -> None:
    """Look for processes without a lease and take their runs from them."""
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
            return
        await runs.move(bus, run_id, "Crashed", "its process ended without a word")
        _log.error("flow run %s: Crashed (its process ended without a word)", run_id)
    except RunMissing:
        pass  # expired meanwhile
