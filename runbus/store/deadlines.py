"""Deadlines: pauses that nobody answered in time are ended, wherever their runs are."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from runbus.errors import RunMissing
from runbus.store import deployments, pauses, runs, turns

if TYPE_CHECKING:
    from runbus.store.bus import Bus


async def expire_overdue(bus: Bus, seconds: float) -> None:
    """End the pauses whose time is over, if no other process has in the last so many seconds."""
    if not await turns.take(bus, "deadlines", seconds):
        return
    for run_id in await runs.overdue(bus):
        run = (await runs.read_several(bus, [run_id]))[0]
        pause = run and run.pause and await pauses.read(bus, run_id, run.pause)
        if run is None or not pause:
            continue
        with suppress(RunMissing):
            await pauses.expire(bus, run_id, pause.key, pause.generation)
        if run.deployment_id is not None:
            await deployments.hint(bus, run.deployment_id, run_id)
