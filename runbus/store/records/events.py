"""The event streams: every change of a run's state, one stream for each hash tag.

Events wake, the records decide: an event may be trimmed before it is read, and a failover may take
it back.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runbus.protocol.event import Event, read_event
from runbus.protocol.keys import TAGS
from runbus.store.receiving.follower import Follower

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from runbus.store.bus import Bus

POLL_SECONDS = 10.0


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
