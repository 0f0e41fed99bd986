"""Workers in Redis: which processes serve what. A record ends with the process that renews it.

A process is registered in a tag of its own, so that lists have all but those whose primary is away.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from runbus.errors import ServerUnreachable
from runbus.protocol.deployment_info import WorkerInfo, read_worker
from runbus.protocol.fields import read_fields
from runbus.protocol.keys import TAGS, tag_of_process
from runbus.store.primaries import AWAY_SECONDS
from runbus.store.records import executions

SERVED_SECONDS = 5.0
"""How long a deployment that is served is not asked after again."""
LISTED_LEASES = 3
"""For how many leases a worker is listed that says nothing any more."""

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbus.protocol.fields import Fields
    from runbus.store.bus import Bus


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How many workers serve what, as far as their servers answer."""

    found: Counter[str]
    """Deployment → how many were found."""
    is_all: bool
    """Whether all servers have answered."""

    def count(self, deployment: str) -> int | None:
        """Return how many serve a deployment; None when none was found, and there may be some."""
        return self.found[deployment] or (0 if self.is_all else None)


async def register(bus: Bus, process: str, fields: Mapping[str, str | int | bytes]) -> None:
    """Store a worker for `LISTED_LEASES`, or renew what is stored.

    Raises `ServerUnreachable`: within a second where there are other servers.
    """
    await bus.primaries.soon(bus.keys.worker(process), lambda: _store(bus, process, fields))


async def _store(bus: Bus, process: str, fields: Mapping[str, str | int | bytes]) -> None:
    key, list_key = bus.keys.worker(process), bus.keys.workers(tag_of_process(process))
    now = int(await bus.commands.time(key) * 1000)
    await bus.commands.together(
        ("HSET", key, *(part for item in fields.items() for part in item)),
        ("HSETNX", key, "started", now),
        ("PEXPIRE", key, int(bus.settings.lease_seconds * 1000 * LISTED_LEASES)),
        ("SADD", list_key, process),
        ("PEXPIRE", list_key, bus.lifetime_ms),
    )


async def forget(bus: Bus, process: str) -> None:
    """Take note that a worker has ended."""
    await bus.commands.together(
        ("DEL", bus.keys.worker(process)),
        ("SREM", bus.keys.workers(tag_of_process(process)), process),
    )


async def count(bus: Bus) -> int:
    """Return how many workers are known to be there; those that are gone are forgotten."""
    names, _ = await _names(bus)
    found = await bus.primaries.available(*(("EXISTS", bus.keys.worker(name)) for name in names))
    gone = [name for name, exists in zip(names, found, strict=True) if exists == 0]
    await bus.primaries.available(
        *(("SREM", bus.keys.workers(tag_of_process(name)), name) for name in gone)
    )
    return len(names) - len(gone)


async def read_all(bus: Bus) -> list[WorkerInfo]:
    """List the workers, those that have worked longest first; without those not to be read now."""
    records, _ = await _read_records(bus)
    executing = await _count_runs(bus) if records else Counter[str]()
    found = (read_worker(name, fields, executing[name]) for name, fields in records.items())
    return sorted((each for each in found if each is not None), key=_age)


async def serving(bus: Bus) -> Serving:
    """Count the workers of each deployment, as far as that is to be read now."""
    try:
        async with asyncio.timeout(2 * AWAY_SECONDS):
            records, is_all = await _read_records(bus)
    except (TimeoutError, ServerUnreachable):
        return Serving(found=Counter(), is_all=False)
    found = (read_worker(name, fields, 0) for name, fields in records.items())
    served = (name for each in found if each is not None for name in each.deployments)
    return Serving(found=Counter(served), is_all=is_all)


async def is_served(bus: Bus, name: str) -> bool | None:
    """Whether some worker serves a deployment; None when that is not to be known now.

    A worker that was found is believed in for some seconds.
    """
    known = _served.setdefault(bus, {})
    if known.get(name, 0.0) > bus.loop.time():
        return True
    now = await serving(bus)
    if now.found or now.is_all:
        known.clear()
        known.update(dict.fromkeys(now.found, bus.loop.time() + SERVED_SECONDS))
    count = now.count(name)
    return None if count is None else count > 0


async def _read_records(bus: Bus) -> tuple[dict[str, Fields], bool]:
    names, is_all = await _names(bus)
    replies = await bus.primaries.available(*(("HGETALL", bus.keys.worker(name)) for name in names))
    records = {name: read_fields(reply or {}) for name, reply in zip(names, replies, strict=True)}
    return records, is_all and None not in replies


async def _names(bus: Bus) -> tuple[list[str], bool]:
    # With whether these are all.
    replies = await bus.primaries.available(*(("SMEMBERS", bus.keys.workers(tag)) for tag in TAGS))
    members = (member for reply in replies for member in reply or ())
    return sorted(member.decode(errors="replace") for member in members), None not in replies


async def _count_runs(bus: Bus) -> Counter[str]:
    owners = await executions.owners(bus)
    return Counter({process: len(run_ids) for process, run_ids in owners.items()})


_served: WeakKeyDictionary[Bus, dict[str, float]] = WeakKeyDictionary()
"""Of each event loop: the deployments that are served, and until when (its seconds) that holds."""


def _age(worker: WorkerInfo) -> tuple[float, str]:
    return (worker.started.timestamp() if worker.started else 0, worker.process)
