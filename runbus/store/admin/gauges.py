"""What the server holds at this moment, for whoever watches it; of a cluster, what answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbus.protocol.keys import TAGS
from runbus.store.available import available
from runbus.store.connection import script_calls, scripts
from runbus.store.primaries import AWAY_SECONDS
from runbus.store.records import deployments, inputs, run_lists, runs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from runbus.protocol.stored_input import StreamInfo
    from runbus.store.bus import Bus

LOOKED_AT = 200
"""How many waiting runs of a tag are looked at for the oldest of them."""
MOST_RUNS = 200
"""Of how many runs of this process the streams are looked at."""


@dataclass(frozen=True, kw_only=True)
class Gauges:
    """What the server holds."""

    pending_pauses: int
    """How many runs wait for an answer."""
    oldest_wait_seconds: float
    """How long the one has waited that has waited longest; of very many, one of the longest."""
    queue_lengths: dict[str, int]
    """How many runs wait for a worker, by deployment."""
    stream_entries: int
    """How many inputs the runs have that this process executes."""
    unread_inputs: int
    """How many of these were read by no receiver."""


async def read(bus: Bus, held: Sequence[UUID]) -> Gauges:
    """Read what the server holds; `held` are the runs that this process executes."""
    pending = await run_lists.count_waiting(bus)
    waited = await _longest_wait(bus) if pending else 0
    streams_here = await _streams_here(bus, held)
    return Gauges(
        pending_pauses=pending,
        oldest_wait_seconds=waited / 1000,
        queue_lengths=await _queue_lengths(bus),
        stream_entries=sum(each.length for each in streams_here),
        unread_inputs=sum(each.unread for each in streams_here),
    )


async def _queue_lengths(bus: Bus) -> dict[str, int]:
    return dict(await runs.count_scheduled(bus, await deployments.names(bus)))


async def _streams_here(bus: Bus, held: Sequence[UUID]) -> list[StreamInfo]:
    works = (inputs.info(bus, run_id) for run_id in held[:MOST_RUNS])
    found = await available(works, AWAY_SECONDS, needs_one=False)
    return [each for of_run in found for each in of_run or ()]


async def _longest_wait(bus: Bus) -> int:
    keys = bus.keys
    calls = (
        script_calls.oldest_wait(
            pending=keys.pending(tag), tag_base=keys.of_tag(tag), count=LOOKED_AT
        )
        for tag in TAGS
    )
    waits = await bus.primaries.available(*map(scripts.OLDEST_WAIT.command, calls))
    return max(int(wait or 0) for wait in waits)
