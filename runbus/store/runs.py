"""Runs in Redis: made, moved from state to state, read and listed."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from runbus.errors import RunLost, RunMissing
from runbus.protocol import states
from runbus.protocol.fields import read_fields
from runbus.protocol.ids import read_run_id, read_run_ids
from runbus.protocol.keys import TAGS, tag
from runbus.protocol.records import FlowRun, StateChange, read_flow_run, read_state_change
from runbus.store import scripts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from uuid import UUID

    from runbus.store.bus import Bus

SWEEP = 100
"""How many runs of one tag a sweep takes at most."""


async def create(
    bus: Bus,
    flow_run_id: UUID,
    fields: Mapping[str, str | bytes],
    *,
    owner: str = "",
) -> FlowRun:
    """Make a run, running in the process `owner` or else scheduled, unless it exists. Return it."""
    state = "Running" if owner else "Scheduled"
    keys, place = bus.keys, tag(flow_run_id)
    reply = await bus.requests.script(
        scripts.CREATE_RUN,
        (
            9,
            keys.run(flow_run_id),
            keys.streams(flow_run_id),
            keys.retried(flow_run_id),
            *(keys.runs(place), keys.active(place), keys.ended(place), keys.events(place)),
            *(keys.scheduled(place), keys.executing(place)),
            str(flow_run_id),
            keys.input(flow_run_id, ""),
            bus.lifetime_ms,
            state,
            states.TYPES[state],
            owner,
            *(part for field in fields.items() for part in field),
        ),
    )
    return _found(flow_run_id, read_flow_run(flow_run_id, read_fields(reply)))


async def move(
    bus: Bus,
    flow_run_id: UUID,
    state: str,
    message: str = "",
    result: bytes = b"",
    *,
    after: Iterable[str] | None = None,
    epoch: int | None = None,
    release: bool = False,
    retry: int | None = None,
    exact: bool = False,
) -> str | None:
    """Move a run to a state. Return None, or the name of the state that does not allow it.

    `after` names the states to move from, by default all that the table of moves allows. The
    process that executes the run gives its `epoch`, and `release` to let it go. `exact` says that
    the result gives back the very value that the flow returned. Raises `RunMissing`, and `RunLost`
    when the run has passed to another process.
    """
    keys, place = bus.keys, tag(flow_run_id)
    reply = await bus.requests.script(
        scripts.MOVE_RUN,
        (
            9,
            keys.run(flow_run_id),
            keys.streams(flow_run_id),
            *(keys.runs(place), keys.active(place), keys.pending(place)),
            *(keys.ended(place), keys.events(place)),
            *(keys.scheduled(place), keys.executing(place)),
            str(flow_run_id),
            keys.of_run(flow_run_id),
            bus.lifetime_ms,
            secrets.token_hex(8),
            f",{','.join(states.before(state) if after is None else after)},",
            state,
            states.TYPES[state],
            message,
            result,
            *("" if epoch is None else epoch, int(release), "" if retry is None else retry),
            int(exact),
        ),
    )
    if reply == b"LOST":
        raise RunLost(flow_run_id)
    if reply == b"MISSING":
        raise RunMissing(flow_run_id)
    return None if reply == b"MOVED" else reply.decode()


async def claim(
    bus: Bus, flow_run_id: UUID, owner: str, deployments: Iterable[str]
) -> FlowRun | None:
    """Take a scheduled run for a process. Return it, None when it is not to be had."""
    reply = await bus.requests.script(
        scripts.CLAIM_RUN,
        (4, *_places(bus, flow_run_id), owner, bus.lifetime_ms, secrets.token_hex(8), *deployments),
    )
    return read_flow_run(flow_run_id, read_fields(reply))


async def adopt(bus: Bus, flow_run_id: UUID, owner: str, epoch: int) -> int:
    """Take over a run that was called directly, as it was found in an epoch.

    Return its epoch from now on, 0 when it has ended or somebody else has taken it.
    """
    keys, place = bus.keys, tag(flow_run_id)
    places = (keys.run(flow_run_id), keys.executing(place), keys.events(place))
    call = (3, *places, str(flow_run_id), owner, bus.lifetime_ms, secrets.token_hex(8), epoch)
    return await bus.requests.script(scripts.ADOPT_RUN, call)


async def resume(bus: Bus, flow_run_id: UUID) -> str | None:
    """Schedule a suspended run that asks nothing. Return None, or the state that it is in instead.

    Raises `RunMissing`.
    """
    keys, place = bus.keys, tag(flow_run_id)
    reply = await bus.requests.script(
        scripts.RESUME_RUN,
        (
            4,
            *(keys.run(flow_run_id), keys.pending(place)),
            *(keys.scheduled(place), keys.events(place)),
            *(str(flow_run_id), bus.lifetime_ms, secrets.token_hex(8)),
        ),
    )
    if reply == b"MISSING":
        raise RunMissing(flow_run_id)
    return None if reply == b"RESUMED" else reply.decode()


async def reclaim(bus: Bus, flow_run_id: UUID, owner: str, max_losses: int) -> bool:
    """Take a run from a process that is gone, to be scheduled again.

    False when it must not run again, and has to be moved to `Crashed`.
    """
    reply = await bus.requests.script(
        scripts.RECLAIM_RUN,
        (4, *_places(bus, flow_run_id), owner, bus.lifetime_ms, max_losses),
    )
    return reply != b"CRASHED"


async def forgive(bus: Bus, flow_run_id: UUID, epoch: int) -> None:
    """Forget how many processes a run has lost, in the execution with this epoch."""
    await bus.requests.script(scripts.FORGIVE_RUN, (1, bus.keys.run(flow_run_id), epoch))


def _places(bus: Bus, flow_run_id: UUID) -> tuple[str, ...]:
    keys, place = bus.keys, tag(flow_run_id)
    indexes = (keys.scheduled(place), keys.executing(place), keys.events(place))
    return (keys.run(flow_run_id), *indexes, str(flow_run_id))


async def scheduled(bus: Bus) -> list[UUID]:
    """List the runs that wait for a worker, those that wait longest first."""
    ranges = await _ranges(bus, bus.keys.scheduled, SWEEP)
    return _ids(ranges)


async def overdue(bus: Bus) -> list[UUID]:
    """List the runs whose pauses' deadlines are over."""
    now = await bus.requests.time() * 1000
    ranges = await _ranges(bus, bus.keys.pending, SWEEP)
    return _ids(each for each in ranges if each[0] <= now)


async def owners(bus: Bus) -> dict[str, list[UUID]]:
    """List the runs that processes have: process → run ids."""
    replies = await bus.requests.commands(
        *(("ZRANGE", bus.keys.executing(each), 0, -1) for each in TAGS)
    )
    found: dict[str, list[UUID]] = {}
    for owner, _, text in (member.partition(b" ") for reply in replies for member in reply):
        if (flow_run_id := read_run_id(text)) is not None:
            found.setdefault(owner.decode(errors="replace"), []).append(flow_run_id)
    return found


async def read(bus: Bus, flow_run_id: UUID) -> FlowRun:
    """Read a run. Raises `RunMissing`."""
    (found,) = await read_several(bus, [flow_run_id])
    return _found(flow_run_id, found)


def _found(flow_run_id: UUID, run: FlowRun | None) -> FlowRun:
    if run is None:
        raise RunMissing(flow_run_id)
    return run


async def read_several(bus: Bus, flow_run_ids: list[UUID]) -> list[FlowRun | None]:
    """Read runs; None for each that is not there."""
    replies = await read_hashes(bus, flow_run_ids)
    return [
        read_flow_run(flow_run_id, read_fields(reply))
        for flow_run_id, reply in zip(flow_run_ids, replies, strict=True)
    ]


async def read_hashes(bus: Bus, flow_run_ids: list[UUID]) -> list[dict[bytes, bytes]]:
    """Read runs as the server has them."""
    return await bus.requests.commands(
        *(("HGETALL", bus.keys.run(flow_run_id)) for flow_run_id in flow_run_ids)
    )


async def history(bus: Bus, flow_run_id: UUID) -> list[StateChange]:
    """Read the last states of a run, the newest last."""
    items = await bus.requests.command("LRANGE", bus.keys.history(flow_run_id), 0, -1)
    return [read_state_change(item) for item in items]


async def _ranges(bus: Bus, index: Callable[[str], str], count: int) -> list[tuple[float, bytes]]:
    replies = await bus.requests.commands(
        *(("ZRANGE", index(each), 0, count - 1, "WITHSCORES") for each in TAGS)
    )
    return [(score, member) for reply in replies for member, score in reply]


def _ids(ranked: Iterable[tuple[float, bytes]]) -> list[UUID]:
    return read_run_ids(member for _, member in sorted(ranked))
