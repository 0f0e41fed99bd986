"""Recovery: runs of processes that are gone are scheduled again, or recorded as crashed.

Every worker looks in each tag every third of a lease. One script looks for owners without a lease
and takes their runs in the same step, in bounded pages, so that nothing else waits for it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from runbus.errors import RunbusError
from runbus.store.available import available
from runbus.store.connection import script_calls, scripts
from runbus.store.connection.counters import counts
from runbus.store.maintenance.occupied_tags import occupied
from runbus.store.records import deployments, runs
from runbus.store.records.child_runs import Children
from runbus.store.records.tag_arguments import tag_arguments

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runbus.store.bus import Bus
    from runbus.store.connection.connection import Command
    from runbus.store.connection.reply import Reply

MAX_CRASHES = 3
"""After how many processes that died while they executed it a run is crashed."""
PROBATION_LEASES = 2
"""How many lease times after it has begun in another process its crashes are forgotten."""
PAGE = 32
"""How many runs one call takes at most."""
FOLLOW_UP_SECONDS = 3.0
"""How long a page may take beyond its own primaries."""

_log = logging.getLogger("runbus.flow_runs")


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A run that was taken from a process that is gone."""

    run_id: UUID
    state: str
    """The state that it is in now."""
    deployment: str | None
    parent_run_id: UUID | None


async def recover_orphaned_runs(bus: Bus) -> int:
    """Take the runs of the dead, in all tags whose primary answers; return how many."""
    after = dict.fromkeys(await occupied(bus, bus.keys.executing), "")
    count = 0
    while after:
        commands = [call(bus, tag, start) for tag, start in after.items()]
        replies = await bus.primaries.each(*commands)
        bus.primaries.raise_if_forbidden(commands, replies)
        pages = dict(zip(after, replies, strict=True))
        found = [each for reply in replies for each in _read(reply)]
        count += len(found)
        # What another primary keeps from being done now, the walk through the indexes does later.
        await available([_try_to_follow_up(bus, found)], FOLLOW_UP_SECONDS, needs_one=False)
        after = {tag: _next(reply) for tag, reply in pages.items() if _next(reply)}
    return count


def call(bus: Bus, tag: str, after: str) -> Command:
    """Return the command that takes a page of the dead in a tag, `after` the one before."""
    made = script_calls.recover_runs(
        **tag_arguments(bus, tag),
        pulse=bus.keys.pulse(tag),
        lease_ms=int(bus.settings.lease_seconds * 1000),
        max_crashes=MAX_CRASHES,
        page=PAGE,
        start_after="" if after == "-" else after,
    )
    return scripts.RECOVER_RUNS.command(made)


def _next(reply: Reply) -> str:
    return "" if isinstance(reply, Exception) else reply[0].decode(errors="replace")


def _read(reply: Reply) -> Iterable[Taken]:
    if isinstance(reply, Exception):
        return
    parts = [part.decode(errors="replace") for part in reply[1:]]
    for at in range(0, len(parts), 4):
        run_id, state, deployment, parent = parts[at : at + 4]
        yield Taken(
            run_id=UUID(run_id),
            state=state,
            deployment=deployment or None,
            parent_run_id=UUID(parent) if parent else None,
        )


async def _try_to_follow_up(bus: Bus, taken: list[Taken]) -> None:
    try:
        await _follow_up(bus, taken)
    except RunbusError as error:
        _log.warning("what is part of recovered runs is looked at later: %s", error)


async def _follow_up(bus: Bus, taken: list[Taken]) -> None:
    counts.runs_recovered += len(taken)
    scheduled: dict[str, list[UUID]] = {}
    for each in taken:
        if each.state == "Scheduled" and each.deployment is not None:
            scheduled.setdefault(each.deployment, []).append(each.run_id)
    for name, run_ids in scheduled.items():
        await deployments.hint(bus, name, *run_ids)
    children = Children(bus)
    for each in taken:
        if each.state in {"Crashed", "Cancelled"}:
            _log.error(
                "flow run %s: %s (its process ended without a word)", each.run_id, each.state
            )
            await children.end_called(each.run_id, each.state)
    await end_abandoned(
        bus, {each.run_id: each.parent_run_id for each in taken if each.parent_run_id is not None}
    )


async def end_abandoned(bus: Bus, parents: dict[UUID, UUID]) -> None:
    """End runs that were called in others, child → parent, where the parent has ended.

    A parent that has not goes on with them when it runs again; of one that cannot be read, that is
    not known.
    """
    found = await runs.read_available(bus, list(dict.fromkeys(parents.values())))
    for child, parent in parents.items():
        if parent in found and ((run := found[parent]) is None or run.state.is_final()):
            await _end_abandoned(bus, child)


async def _end_abandoned(bus: Bus, child: UUID) -> None:
    (left,) = await runs.read_several(bus, [child])
    if left is not None and left.owner is None and left.deployment_id is None:
        await runs.move(bus, left, "Crashed", "the run that it is part of has ended")
