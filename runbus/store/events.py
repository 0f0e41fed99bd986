"""The event streams: every change of a run's state, one stream for each hash tag."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from runbus.protocol.event import Event, read_event
from runbus.protocol.keys import TAGS, tag
from runbus.store import runs
from runbus.store.reader import Reader

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from runbus.protocol.records import FlowRun
    from runbus.store.bus import Bus

POLL_SECONDS = 10.0
_NO_RUN = UUID(int=0)


async def follow_run(bus: Bus, flow_run_id: UUID, poll_interval: float) -> AsyncGenerator[FlowRun]:
    """Yield a run as it is now, and again after each change of its state.

    Raises `RunMissing`.
    """
    streams = {"events": bus.keys.events(tag(flow_run_id))}
    reader = Reader(bus, flow_run_id, streams, poll_interval, marks=False)
    # First where the stream ends, then the run: so no change is missed in between.
    await begin_at_the_end(bus, reader)
    wanted = str(flow_run_id).encode()
    try:
        yield await runs.read(bus, flow_run_id)
        while await reader.wait(None):
            if [fields for _, _, fields in reader.taken() if wanted in fields]:
                yield await runs.read(bus, flow_run_id)
    finally:
        reader.close()


async def follow_all(bus: Bus) -> AsyncGenerator[Event]:
    """Yield the changes of all runs' states from now on, in the order of the servers' clocks."""
    streams = {each: bus.keys.events(each) for each in TAGS}
    reader = Reader(bus, _NO_RUN, streams, POLL_SECONDS, marks=False)
    await begin_at_the_end(bus, reader)
    try:
        while await reader.wait(None):
            for _, entry_id, fields in reader.taken():
                if (event := read_event(entry_id, fields)) is not None:
                    yield event
    finally:
        reader.close()


async def begin_at_the_end(bus: Bus, reader: Reader, *names: str) -> None:
    """Let a reader pass over what its streams (or those of these names) have now."""
    tails = [tail for tail in reader.tails if not names or tail.name in names]
    replies = await bus.requests.commands(
        *(("XREVRANGE", tail.key, "+", "-", "COUNT", 1) for tail in tails)
    )
    for tail, newest in zip(tails, replies, strict=True):
        if newest:
            tail.cursor = newest[0][0]
