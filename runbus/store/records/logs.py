"""The log stream of a run: its last lines, for whoever looks."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from runbus.protocol.keys import tag
from runbus.protocol.log_line import LogLine, read_log_line
from runbus.store.receiving.follower import Follower
from runbus.store.receiving.recent_entries import BEGINNING
from runbus.store.records import runs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from uuid import UUID

    from runbus.store.bus import Bus
    from runbus.store.connection.connection import Command

LONGEST_LOG = 10_000
LONGEST_LINE = 8192
POLL_SECONDS = 10.0
PAGE = 1000

Line = tuple[str, str]
"""Level and message."""


async def append(bus: Bus, flow_run_id: UUID, lines: Iterable[Line]) -> None:
    """Add lines to a run's log, whose lifetime begins anew. The oldest of very many are dropped.

    A line may stand there twice when a reply was lost.
    """
    await bus.commands.together(*_additions(bus, flow_run_id, lines))


async def tell(bus: Bus, flow_run_id: UUID, lines: Iterable[Line]) -> None:
    """Add lines as `append` does, without waiting: they arrive before what is sent after this."""
    await bus.notifier.tell(*_additions(bus, flow_run_id, lines))


def _additions(bus: Bus, flow_run_id: UUID, lines: Iterable[Line]) -> list[Command]:
    key = bus.keys.log(flow_run_id)
    add = ("XADD", key, "MAXLEN", "~", LONGEST_LOG, "*")
    return [
        *((*add, "level", level, "message", message[:LONGEST_LINE]) for level, message in lines),
        ("PEXPIRE", key, bus.lifetime_ms),
    ]


async def read(bus: Bus, flow_run_id: UUID, *, after: str | None, limit: int) -> list[LogLine]:
    """Read lines of a run's log, the oldest first."""
    start = f"({after}" if after else "-"
    entries = await bus.commands.command(
        "XRANGE", bus.keys.log(flow_run_id), start, "+", "COUNT", limit
    )
    return [read_log_line(entry_id, fields) for entry_id, fields in entries]


async def follow(bus: Bus, flow_run_id: UUID) -> AsyncGenerator[LogLine]:
    """Yield the lines of a run's log from the first on, until the run has ended.

    Raises `RunMissing`.
    """
    streams = {"log": bus.keys.log(flow_run_id), "events": bus.keys.events(tag(flow_run_id))}
    wanted = str(flow_run_id).encode()
    with closing(Follower(bus, streams, POLL_SECONDS, places={"log": BEGINNING})) as follower:
        ended = False
        while not ended:
            concerns = not await follower.wait(POLL_SECONDS) or follower.take_gap()
            for name, entry_id, fields in follower.taken():
                if name == "log":
                    yield read_log_line(entry_id, fields)
                else:
                    concerns |= wanted in fields
            ended = concerns and (await runs.read(bus, flow_run_id)).state.is_final()
        for name, entry_id, fields in follower.taken():
            if name == "log":
                yield read_log_line(entry_id, fields)
        place = follower.place("log")
    while lines := await read(bus, flow_run_id, after=place, limit=PAGE):
        for line in lines:
            yield line
        place = lines[-1].id
