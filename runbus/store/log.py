"""The log stream of a run: its last lines, for whoever looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.protocol.event import read_event
from runbus.protocol.keys import tag
from runbus.protocol.log_line import LogLine, read_log_line
from runbus.protocol.states import FINAL, TYPES
from runbus.store import events, runs
from runbus.store.reader import Reader

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from uuid import UUID

    from runbus.store.bus import Bus

LONGEST_LOG = 10_000
LONGEST_LINE = 8192
POLL_SECONDS = 10.0

Line = tuple[str, str]
"""Level and message."""


async def append(bus: Bus, flow_run_id: UUID, lines: Iterable[Line]) -> None:
    """Add lines to a run's log, whose lifetime begins anew. The oldest of very many are dropped.

    A line may stand there twice when a reply was lost.
    """
    key = bus.keys.log(flow_run_id)
    add = ("XADD", key, "MAXLEN", "~", LONGEST_LOG, "*")
    await bus.requests.commands(
        *((*add, "level", level, "message", message[:LONGEST_LINE]) for level, message in lines),
        ("PEXPIRE", key, bus.lifetime_ms),
    )


async def read(bus: Bus, flow_run_id: UUID, *, after: str | None, limit: int) -> list[LogLine]:
    """Read lines of a run's log, the oldest first."""
    start = f"({after}" if after else "-"
    entries = await bus.requests.command(
        "XRANGE", bus.keys.log(flow_run_id), start, "+", "COUNT", limit
    )
    return [read_log_line(entry_id, fields) for entry_id, fields in entries]


async def follow(bus: Bus, flow_run_id: UUID) -> AsyncGenerator[LogLine]:
    """Yield the lines of a run's log from the first on, until the run has ended.

    Raises `RunMissing`.
    """
    event_key = bus.keys.events(tag(flow_run_id))
    streams = {"log": bus.keys.log(flow_run_id), "events": event_key}
    reader = Reader(bus, flow_run_id, streams, POLL_SECONDS, marks=False)
    # First where the events end, then the run: so no change is missed in between.
    await events.begin_at_the_end(bus, reader, "events")
    ended = (await runs.read(bus, flow_run_id)).state.is_final()
    try:
        while await reader.wait(0 if ended else None):
            for name, entry_id, fields in reader.taken():
                if name == "log":
                    yield read_log_line(entry_id, fields)
                elif (event := read_event(entry_id, fields)) and event.flow_run_id == flow_run_id:
                    ended = ended or TYPES.get(event.state) in FINAL
    finally:
        reader.close()
