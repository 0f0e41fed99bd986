"""Deployments in Redis: what is served under a name, and the hints that wake its workers.

A queue only hints. What waits for a worker stands in the runs and their indexes, where a sweep
finds what no hint reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from runbus.protocol.records import read_fields
from runbus.store.reader import Reader

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from runbus.store.bus import Bus

LONGEST_QUEUE = 10_000
POLL_SECONDS = 10
_NO_RUN = UUID(int=0)


async def register(bus: Bus, name: str, fields: Mapping[str, str | bytes]) -> None:
    """Store a deployment, in place of what it was before."""
    key = bus.keys.deployment(name)
    await bus.requests.command("HSET", key, *(part for item in fields.items() for part in item))
    await bus.requests.command("PEXPIRE", key, bus.lifetime_ms)


async def read(bus: Bus, name: str) -> dict[str, bytes] | None:
    """Read a deployment; None when there is none of this name."""
    return read_fields(await bus.requests.command("HGETALL", bus.keys.deployment(name))) or None


async def hint(bus: Bus, name: str, flow_run_id: UUID) -> None:
    """Tell the workers of a deployment that a run waits."""
    key = bus.keys.queue(name)
    await bus.requests.commands(
        ("XADD", key, "MAXLEN", "~", LONGEST_QUEUE, "*", "run", str(flow_run_id)),
        ("PEXPIRE", key, bus.lifetime_ms),
    )


async def hints(bus: Bus, names: list[str]) -> AsyncGenerator[str]:
    """Yield the ids of runs that wait, as they are hinted at from now on."""
    reader = Reader(
        bus, _NO_RUN, {name: bus.keys.queue(name) for name in names}, POLL_SECONDS, marks=False
    )
    for tail in reader.tails:
        newest = await bus.requests.command("XREVRANGE", tail.key, "+", "-", "COUNT", 1)
        if newest:
            tail.cursor = newest[0][0]
    try:
        while await reader.wait(None):
            while (tail := reader.next_tail()) is not None:
                _, fields = tail.unread[-1]
                tail.advance()
                yield fields[-1].decode(errors="replace")
    finally:
        reader.close()
