"""Workers in Redis: which processes serve what. A record ends with the process that renews it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from runbus.errors import ServerUnreachable
from runbus.protocol.deployment_info import WorkerInfo, read_worker
from runbus.protocol.fields import read_fields
from runbus.store.records import executions
from runbus.store.requests import AWAY_SECONDS

SERVED_SECONDS = 5.0
"""How long a deployment that is served is not asked after again."""

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbus.protocol.fields import Fields
    from runbus.store.bus import Bus


async def register(bus: Bus, process: str, fields: Mapping[str, str | int | bytes]) -> None:
    """Store a worker for the time of three leases, or renew what is stored."""
    key, lifetime = bus.keys.worker(process), int(bus.settings.lease_seconds * 3000)
    now = int(await bus.requests.time(key) * 1000)
    await bus.requests.commands(
        ("HSET", key, *(part for item in fields.items() for part in item)),
        ("HSETNX", key, "started", now),
        ("PEXPIRE", key, lifetime),
        ("SADD", bus.keys.workers(), process),
        ("PEXPIRE", bus.keys.workers(), bus.lifetime_ms),
    )


async def forget(bus: Bus, process: str) -> None:
    """Take note that a worker has ended."""
    await bus.requests.commands(
        ("DEL", bus.keys.worker(process)), ("SREM", bus.keys.workers(), process)
    )


async def count(bus: Bus) -> int:
    """Return how many workers there are; those that are gone are forgotten."""
    names = await bus.requests.command("SMEMBERS", bus.keys.workers())
    found = await bus.requests.available(
        *(("EXISTS", bus.keys.worker(name.decode(errors="replace"))) for name in names)
    )
    gone = [name for name, exists in zip(names, found, strict=True) if exists == 0]
    if gone:
        await bus.requests.command("SREM", bus.keys.workers(), *gone)
    return len(names) - len(gone)


async def read_all(bus: Bus) -> list[WorkerInfo]:
    """List the workers, those that have worked longest first; without those not to be read now."""
    records = await _read_records(bus)
    executing = await _count_runs(bus) if records else Counter[str]()
    found = (read_worker(name, fields, executing[name]) for name, fields in records.items())
    return sorted((each for each in found if each is not None), key=_age)


async def serving(bus: Bus) -> Counter[str] | None:
    """Count the workers of each deployment; None when who works is not to be read now."""
    try:
        async with asyncio.timeout(2 * AWAY_SECONDS):
            records = await _read_records(bus)
    except (TimeoutError, ServerUnreachable):
        return None
    found = (read_worker(name, fields, 0) for name, fields in records.items())
    return Counter(name for each in found if each is not None for name in each.deployments)


async def is_served(bus: Bus, name: str) -> bool | None:
    """Whether some worker serves a deployment; None when that is not to be known now.

    A worker that was found is believed in for some seconds.
    """
    known = _served.setdefault(bus, {})
    if known.get(name, 0.0) > bus.loop.time():
        return True
    found = await serving(bus)
    if found is None:
        return None
    until = bus.loop.time() + SERVED_SECONDS
    known.clear()
    known.update(dict.fromkeys(found, until))
    return name in found


async def _read_records(bus: Bus) -> dict[str, Fields]:
    members = await bus.requests.command("SMEMBERS", bus.keys.workers())
    names = sorted(name.decode(errors="replace") for name in members)
    replies = await bus.requests.available(*(("HGETALL", bus.keys.worker(name)) for name in names))
    return {name: read_fields(reply or {}) for name, reply in zip(names, replies, strict=True)}


async def _count_runs(bus: Bus) -> Counter[str]:
    owners = await executions.owners(bus)
    return Counter({process: len(run_ids) for process, run_ids in owners.items()})


_served: WeakKeyDictionary[Bus, dict[str, float]] = WeakKeyDictionary()
"""Of each event loop: the deployments that are served, and until when (its seconds) that holds."""


def _age(worker: WorkerInfo) -> tuple[float, str]:
    return (worker.started.timestamp() if worker.started else 0, worker.process)
