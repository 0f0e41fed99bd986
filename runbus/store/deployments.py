"""Deployments in Redis: what is served under a name, and the hints that wake its workers.

A queue only hints. What waits for a worker stands in the runs and their indexes, where a sweep
finds what no hint reached.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from uuid import UUID

from runbus.protocol.deployment_info import DeploymentInfo, read_deployment
from runbus.protocol.fields import read_fields
from runbus.store import workers
from runbus.store.events import begin_at_the_end
from runbus.store.reader import Reader

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    from runbus.store.bus import Bus

LONGEST_QUEUE = 10_000
POLL_SECONDS = 10
_NO_RUN = UUID(int=0)


async def register(bus: Bus, name: str, fields: Mapping[str, str | bytes]) -> None:
    """Store a deployment, in place of what it was before."""
    key = bus.keys.deployment(name)
    await bus.requests.commands(
        ("HSET", key, *(part for item in fields.items() for part in item)),
        ("PEXPIRE", key, bus.lifetime_ms),
        ("SADD", bus.keys.deployments(), name),
        ("PEXPIRE", bus.keys.deployments(), bus.lifetime_ms),
    )


async def read(bus: Bus, name: str) -> dict[str, bytes] | None:
    """Read a deployment; None when there is none of this name."""
    return read_fields(await bus.requests.command("HGETALL", bus.keys.deployment(name))) or None


async def read_info(bus: Bus, names: Iterable[str]) -> list[DeploymentInfo | None]:
    """Read deployments and how many workers serve them; None for each that is not there."""
    wanted = list(names)
    replies = await bus.requests.commands(
        *(("HGETALL", bus.keys.deployment(name)) for name in wanted)
    )
    serving = Counter(name for each in await workers.read_all(bus) for name in each.deployments)
    return [
        read_deployment(name, read_fields(reply), serving[name])
        for name, reply in zip(wanted, replies, strict=True)
    ]


async def names(bus: Bus) -> list[str]:
    """List the names of the deployments."""
    members = await bus.requests.command("SMEMBERS", bus.keys.deployments())
    return sorted(member.decode(errors="replace") for member in members)


async def read_all(bus: Bus) -> list[DeploymentInfo]:
    """List the deployments by their names."""
    members = await bus.requests.command("SMEMBERS", bus.keys.deployments())
    found = await read_info(bus, sorted(member.decode(errors="replace") for member in members))
    return [each for each in found if each is not None]


async def hint(bus: Bus, name: str, flow_run_id: UUID) -> None:
    """Tell the workers of a deployment that a run waits."""
    key = bus.keys.queue(name)
    await bus.requests.commands(
        ("XADD", key, "MAXLEN", "~", LONGEST_QUEUE, "*", "run", str(flow_run_id)),
        ("PEXPIRE", key, bus.lifetime_ms),
    )


async def hints(bus: Bus, names: list[str]) -> AsyncGenerator[tuple[str, bytes]]:
    """Yield deployments and ids of runs that wait, as they are hinted at from now on."""
    reader = Reader(
        bus, _NO_RUN, {name: bus.keys.queue(name) for name in names}, POLL_SECONDS, marks=False
    )
    await begin_at_the_end(bus, reader)
    try:
        while await reader.wait(None):
            for name, _, fields in reader.taken():
                yield name, fields[-1]
    finally:
        reader.close()
