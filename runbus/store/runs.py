"""Runs in Redis: made, moved from state to state, read and listed."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from uuid import UUID

from runbus.errors import RunMissing
from runbus.protocol import states
from runbus.protocol.keys import TAGS, tag
from runbus.protocol.records import FlowRun, read_fields, read_flow_run
from runbus.store import scripts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runbus.store.bus import Bus


async def create(
    bus: Bus, flow_run_id: UUID, state: str, fields: Mapping[str, str | bytes]
) -> bool:
    """Make a run in a state; False if it exists already."""
    keys, place = bus.keys, tag(flow_run_id)
    made = await bus.requests.script(
        scripts.CREATE_RUN,
        (
            7,
            keys.run(flow_run_id),
            keys.streams(flow_run_id),
            keys.retried(flow_run_id),
            *(keys.runs(place), keys.active(place), keys.ended(place), keys.events(place)),
            str(flow_run_id),
            keys.input(flow_run_id, ""),
            bus.lifetime_ms,
            state,
            states.TYPES[state],
            *(part for field in fields.items() for part in field),
        ),
    )
    return bool(made)


async def move(
    bus: Bus, flow_run_id: UUID, state: str, message: str = "", result: bytes = b""
) -> str | None:
    """Move a run to a state. Return None, or the name of the state that does not allow it.

    Raises `RunMissing`.
    """
    keys, place = bus.keys, tag(flow_run_id)
    reply = await bus.requests.script(
        scripts.MOVE_RUN,
        (
            7,
            keys.run(flow_run_id),
            keys.streams(flow_run_id),
            *(keys.runs(place), keys.active(place), keys.pending(place)),
            *(keys.ended(place), keys.events(place)),
            str(flow_run_id),
            keys.of_run(flow_run_id),
            bus.lifetime_ms,
            secrets.token_hex(8),
            f",{','.join(states.before(state))},",
            state,
            states.TYPES[state],
            message,
            result,
        ),
    )
    if reply == b"MISSING":
        raise RunMissing(flow_run_id)
    return None if reply == b"MOVED" else reply.decode()


async def read(bus: Bus, flow_run_id: UUID) -> FlowRun:
    """Read a run. Raises `RunMissing`."""
    (found,) = await read_several(bus, [flow_run_id])
    if found is None:
        raise RunMissing(flow_run_id)
    return found


async def read_several(bus: Bus, flow_run_ids: list[UUID]) -> list[FlowRun | None]:
    """Read runs; None for each that is not there."""
    replies = await bus.requests.commands(
        *(("HGETALL", bus.keys.run(flow_run_id)) for flow_run_id in flow_run_ids)
    )
    return [
        read_flow_run(flow_run_id, read_fields(reply))
        for flow_run_id, reply in zip(flow_run_ids, replies, strict=True)
    ]


async def newest(bus: Bus, offset: int, limit: int) -> list[UUID]:
    """List run ids by when the runs were created, the newest first."""
    ranges = await _ranges(bus, bus.keys.runs, offset + limit, "REV")
    return _page(sorted(ranges, reverse=True), offset, limit)


async def most_urgent(bus: Bus, offset: int, limit: int) -> list[UUID]:
    """List the ids of paused runs by their deadline, those without one last."""
    ranges = await _ranges(bus, bus.keys.pending, offset + limit)
    return _page(sorted(ranges), offset, limit)


async def _ranges(
    bus: Bus, index: Callable[[str], str], count: int, *options: str
) -> list[tuple[float, bytes]]:
    # Every tag has an index of its own, and any of them may hold the whole page.
    replies = await bus.requests.commands(
        *(("ZRANGE", index(each), 0, count - 1, *options, "WITHSCORES") for each in TAGS)
    )
    return [(score, member) for reply in replies for member, score in reply]


def _page(ranked: list[tuple[float, bytes]], offset: int, limit: int) -> list[UUID]:
    return [UUID(member.decode()) for _, member in ranked[offset : offset + limit]]
