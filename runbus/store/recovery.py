"""Recovery: runs of processes that are gone are scheduled again, or recorded as crashed."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from runbus.errors import RunMissing
from runbus.store import child_runs, deployments, runs, turns

if TYPE_CHECKING:
    from uuid import UUID

    from runbus.store.bus import Bus

MAX_LOSSES = 3
"""After how many processes that died while they executed it a run is crashed."""
LOSSES_IN_COMPANY = 2
"""After how many of them it is executed alone: any run of the process may have ended it."""
PROBATION_LEASES = 2
"""How many lease times after it has begun in another process its losses are forgotten."""

_LIFETIME = re.compile(rb"[1-9][0-9]{3,6}")  # of 1 s to 1 h, in ms
_log = logging.getLogger("runbus.flow_runs")


async def take_from_the_dead(bus: Bus, seconds: float) -> None:
    """Look for processes without a lease and take their runs from them.

    If no other process has done so in the last so many seconds.
    """
    has_turn = await turns.take(bus, "recovery", seconds)
    owners = await runs.owners(bus) if has_turn else {}
    gone = await _without_lease(bus, list(owners))
    # After the leases were read, as it may jump at any moment.
    if bus.server_clock.is_doubtful(await bus.requests.time()):
        return
    for owner in gone:
        for run_id in owners[owner]:
            await _take(bus, owner, run_id)


async def _without_lease(bus: Bus, processes: list[str]) -> list[str]:
    keys = [bus.keys.lease(process) for process in processes]
    # Not GET: what is no string is no lease, and no error.
    found = [value for (value,) in await bus.requests.commands(*(("MGET", key) for key in keys))]
    # Where the server's clock was set back, the leases of the dead would last all that time.
    lifetimes = {key: _lifetime_ms(value) for key, value in zip(keys, found, strict=True)}
    await bus.requests.commands(
        *(("PEXPIRE", key, ms, "LT") for key, ms in lifetimes.items() if ms)
    )
    return [each for each, value in zip(processes, found, strict=True) if value is None]


def _lifetime_ms(lease: bytes | None) -> int:
    return int(lease) if lease is not None and _LIFETIME.fullmatch(lease) else 0


async def _take(bus: Bus, owner: str, run_id: UUID) -> None:
    try:
        if await runs.reclaim(bus, run_id, owner, MAX_LOSSES):
            await _hint(bus, run_id)
            return
        if await _is_part_of_another(bus, run_id):
            return
        await runs.move(bus, run_id, "Crashed", "its process ended without a word")
        await child_runs.end_called(bus, run_id, "Crashed")
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
