"""Deployments in Redis: what is served under a name, and the hints that wake its workers.

A queue only hints. What waits for a worker stands in the runs and their indexes, where a sweep
finds what no hint reached.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import closing
from typing import TYPE_CHECKING

from runbus.errors import RunbusError, ServerUnreachable
from runbus.protocol.deployment_info import DeploymentInfo, Served, read_deployment
from runbus.protocol.fields import read_fields
from runbus.protocol.keys import TAGS, tag_of_name
from runbus.store.receiving.follower import Follower
from runbus.store.receiving.stream_consumer import REST_SECONDS
from runbus.store.records import workers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from uuid import UUID

    from runbus.store.bus import Bus

LONGEST_QUEUE = 10_000
POLL_SECONDS = 10
FRESH_SECONDS = 1.0
RENEW_SECONDS = 60.0
MOST_KNOWN = 1000
"""Of how many deployments an event loop remembers the flow."""

_log = logging.getLogger("runbus")


async def register(bus: Bus, name: str, fields: Mapping[str, str | bytes]) -> None:
    """Store a deployment, in place of what it was before.

    Raises `ServerUnreachable`: within a second where there are other servers.
    """
    works = _store(bus, name, fields), _list(bus, name)  # one may be done without the other
    for error in await asyncio.gather(*works, return_exceptions=True):
        if error is not None:
            raise error


async def _store(bus: Bus, name: str, fields: Mapping[str, str | bytes]) -> None:
    key = bus.keys.deployment(name)
    store = ("HSET", key, *(part for item in fields.items() for part in item))
    renew = ("PEXPIRE", key, bus.lifetime_ms)
    await bus.primaries.soon(key, lambda: bus.commands.together(store, renew))


async def _list(bus: Bus, name: str) -> None:
    key = bus.keys.deployments(tag_of_name(name))
    add, renew = ("SADD", key, name), ("PEXPIRE", key, bus.lifetime_ms)
    await bus.primaries.soon(key, lambda: bus.commands.together(add, renew))


async def read(bus: Bus, name: str) -> dict[str, bytes] | None:
    """Read a deployment; None when there is none of this name."""
    return read_fields(await bus.commands.command("HGETALL", bus.keys.deployment(name))) or None


async def read_served(bus: Bus, name: str, *, newest: bool = False) -> Served | None:
    """Return which flow is served under a name; None when none is.

    Unless the `newest` is wanted, it is asked for once a second at most: who starts many runs asks
    for the same. While the deployment's primary is away, it is what was found before, else what the
    deployment's name (`flow/name`) says.
    """
    known, read_at = bus.served.get(name, (None, 0.0))
    if known is not None and not newest and bus.loop.time() - read_at < FRESH_SECONDS:
        return known
    key = bus.keys.deployment(name)
    try:
        read_both = ("HMGET", key, "flow", "parameters")
        flow, parameters = await bus.primaries.soon(key, lambda: bus.commands.command(*read_both))
    except ServerUnreachable:
        if bus.primaries.has_one_server:
            raise
        return known or Served(flow=name.partition("/")[0].encode())
    if flow is None:
        bus.served.pop(name, None)
        return None
    found = Served(flow=flow, parameters=parameters or b"")
    if known is not None or len(bus.served) < MOST_KNOWN:
        bus.served[name] = found, bus.loop.time()
    return found


async def read_info(bus: Bus, name: str) -> DeploymentInfo | None:
    """Read a deployment and how many workers serve it; None when there is none of this name."""
    fields = await read(bus, name)
    if fields is None:
        return None
    return read_deployment(name, fields, (await workers.serving(bus)).count(name))


async def names(bus: Bus) -> list[str]:
    """List the names of the deployments; without those that are not to be read now."""
    replies = await bus.primaries.available(
        *(("SMEMBERS", bus.keys.deployments(tag)) for tag in TAGS)
    )
    members = (member for reply in replies for member in reply or ())
    return sorted(member.decode(errors="replace") for member in members)


async def read_all(bus: Bus) -> list[DeploymentInfo]:
    """List the deployments by their names; without those that are not to be read now."""
    found_names = await names(bus)
    replies = await bus.primaries.available(
        *(("HGETALL", bus.keys.deployment(name)) for name in found_names)
    )
    serving = await workers.serving(bus)
    found = (
        read_deployment(name, read_fields(reply or {}), serving.count(name))
        for name, reply in zip(found_names, replies, strict=True)
    )
    return [each for each in found if each is not None]


async def hint(bus: Bus, name: str, *flow_run_ids: UUID) -> None:
    """Tell the workers of a deployment that runs wait. Nobody waits until they have been told."""
    key = bus.keys.queue(name)
    add = ("XADD", key, "MAXLEN", "~", LONGEST_QUEUE, "*", "run")
    renew = (("PEXPIRE", key, bus.lifetime_ms),) if _renews(bus, key) else ()
    await bus.notifier.tell(*((*add, str(each)) for each in flow_run_ids), *renew)


def _renews(bus: Bus, key: str) -> bool:
    # Not with each hint. On a new connection: the server may have lost what it had.
    connection, now = bus.topology.connector(key).live, bus.loop.time()
    renewed_on, renewed_at = bus.renewed.get(key, (None, 0.0))
    seconds = min(RENEW_SECONDS, bus.settings.retention_seconds / 100)
    if connection is not None and connection is renewed_on and now - renewed_at < seconds:
        return False
    if key in bus.renewed or len(bus.renewed) < MOST_KNOWN:
        bus.renewed[key] = connection, now
    return True


async def hints(
    bus: Bus, names: list[str], *, on_round: Callable[[], None]
) -> AsyncGenerator[tuple[str, bytes]]:
    """Yield deployments and ids of runs that wait, as they are hinted at from now on.

    `on_round` is called now and then while there is a server to hear from.

    Each queue is followed by itself, and whatever its server says, it is read on when that passes.
    """
    queues = {name: bus.keys.queue(name) for name in names}
    is_told = False
    with closing(Follower(bus, queues, POLL_SECONDS, tells_beginning=False)) as follower:
        while True:
            try:
                await follower.wait(POLL_SECONDS)
            except RunbusError as error:
                if not is_told:
                    _log.warning("runs are found by sweeps for now: %s", error)
                is_told = True
                await asyncio.sleep(random.uniform(0.5, 1) * REST_SECONDS)  # noqa: S311
                continue
            is_told = False
            on_round()
            follower.take_gap()  # what was hinted at meanwhile, a sweep finds
            for name, _, fields in follower.taken():
                yield name, fields[-1]
