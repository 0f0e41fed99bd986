"""The event streams: every change of a run's state, one stream for each hash tag.

Events wake, the records decide: an event may be trimmed before it is read, and a failover may take
it back.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runbus.protocol.event import Event, read_event
from runbus.protocol.keys import TAGS, tag
from runbus.store import runs
from runbus.store.follower import Follower

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from uuid import UUID

    from runbus.protocol.records import FlowRun
    from runbus.store.bus import Bus

POLL_SECONDS = 10.0
SHORTEST_POLL_SECONDS = 0.1


async def follow_run(bus: Bus, flow_run_id: UUID, poll_interval: float) -> AsyncGenerator[FlowRun]:
    """Yield a run as it is now, and again whenever its record has changed.

    It is looked at after each event of it, after whatever may have hidden one, and every
    `poll_interval` seconds. Raises `RunMissing`, also when its record is lost later.
    """
    known: FlowRun | None = None
    patience = max(SHORTEST_POLL_SECONDS, poll_interval)
    wanted = str(flow_run_id).encode()
    with closing(Follower(bus, {"events": bus.keys.events(tag(flow_run_id))}, patience)) as events:
        while True:
            # The first gap is told once it is known where the events end: none is missed after it.
            is_silent = not await events.wait(patience)
            concerned = [True for _, _, fields in events.taken() if wanted in fields]
            if events.take_gap() or is_silent or concerned:
                run = await runs.read(bus, flow_run_id)
                if run != known:
                    known = run
                    yield run


async def follow_all(bus: Bus) -> AsyncGenerator[Event]:
    """Yield the changes of all runs' states from now on, those of one run in their order.

    A `resync` tells that changes may have been missed.
    """
    streams = {each: bus.keys.events(each) for each in TAGS}
    with closing(Follower(bus, streams, POLL_SECONDS, tells_beginning=False)) as events:
        while True:
            await events.wait(None)
            if events.take_gap():
                yield Event(kind="resync", time=datetime.now(UTC), flow_run_id=None, state="")
            for _, entry_id, fields in events.taken():
                if (event := read_event(entry_id, fields)) is not None:
                    yield event
