"""The runs that wait for an answer, together with what they ask."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runbus.protocol.fields import read_fields, text_in
from runbus.protocol.records import Waiting, read_flow_run
from runbus.store.records import pauses

if TYPE_CHECKING:
    from uuid import UUID

    from runbus.protocol.records import FlowRun
    from runbus.store.bus import Bus


async def read(bus: Bus, flow_run_ids: list[UUID]) -> list[Waiting]:
    """Read runs with the pauses in which they wait; without those that are not to be had."""
    replies = await bus.primaries.available(
        *(("HGETALL", bus.keys.run(flow_run_id)) for flow_run_id in flow_run_ids)
    )
    records = (read_fields(reply or {}) for reply in replies)
    hashes = dict(zip(flow_run_ids, records, strict=True))
    keys = {run_id: key for run_id, each in hashes.items() if (key := text_in(each, "pause"))}

    async def read_runs() -> list[FlowRun | None]:
        return [read_flow_run(run_id, each) for run_id, each in hashes.items()]

    # The second computes while the server is asked by the first.
    asked, found = await asyncio.gather(pauses.read_several(bus, keys.items()), read_runs())
    pause_of = dict(zip(keys, asked, strict=True))
    return [Waiting(run=run, pause=pause_of.get(run.id)) for run in found if run is not None]
