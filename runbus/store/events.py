"""The event streams: every change of a run's state, one stream for each hash tag."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.protocol.keys import tag
from runbus.store import runs
from runbus.store.reader import Reader

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from uuid import UUID

    from runbus.protocol.records import FlowRun
    from runbus.store.bus import Bus


async def follow_run(bus: Bus, flow_run_id: UUID, poll_interval: float) -> AsyncGenerator[FlowRun]:
    """Yield a run as it is now, and again after each change of its state.

    Raises `RunMissing`.
    """
    key = bus.keys.events(tag(flow_run_id))
    # First where the stream ends, then the run: so no change is missed in between.
    newest = await bus.requests.command("XREVRANGE", key, "+", "-", "COUNT", 1)
    reader = Reader(bus, flow_run_id, {"events": key}, poll_interval, marks=False)
    if newest:
        reader.tails[0].cursor = newest[0][0]
    try:
        yield await runs.read(bus, flow_run_id)
        while await reader.wait(None):
            if _names(reader, flow_run_id):
                yield await runs.read(bus, flow_run_id)
    finally:
        reader.close()


def _names(reader: Reader, flow_run_id: UUID) -> bool:
    """Take all events that are at hand; tell whether any is about this run."""
    named = False
    wanted = str(flow_run_id).encode()
    while (tail := reader.next_tail()) is not None:
        _, fields = tail.unread[-1]
        tail.advance()
        named |= wanted in fields
    return named
