"""The input streams of a run, read without receiving from them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runbus.errors import RunMissing, ServerUnreachable
from runbus.protocol.entries import numbers_of
from runbus.protocol.fields import read_number
from runbus.protocol.states import FINAL, TYPES
from runbus.protocol.stored_input import StoredInput, StreamInfo, read_stored_input
from runbus.store.receiving.consumer import Consumer
from runbus.store.receiving.recent_entries import BEGINNING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from uuid import UUID

    from runbus.store.bus import Bus

LOOK_SECONDS = 1.0
"""How often a follower looks for streams that have come, and whether the run has ended."""
POLL_SECONDS = 10.0
_READ = "read:"


async def info(bus: Bus, flow_run_id: UUID) -> list[StreamInfo]:
    """List the input streams of a run by their names."""
    counts = await _read_counts(bus, flow_run_id)
    lengths = await bus.commands.together(
        *(("XLEN", bus.keys.input(flow_run_id, name)) for name in counts)
    )
    return [
        StreamInfo(name=name, length=length, unread=max(0, length - read))
        for (name, read), length in zip(counts.items(), lengths, strict=True)
    ]


async def read(
    bus: Bus,
    flow_run_id: UUID,
    stream: str | None,
    *,
    after: str | None,
    limit: int,
    newest_first: bool = False,
) -> list[StoredInput]:
    """Read the inputs of one stream of a run, or of all, in the order of time."""
    names = list(await _read_counts(bus, flow_run_id)) if stream is None else [stream]
    oldest = f"({after}" if after else "-"
    span = ("XREVRANGE", "+", oldest) if newest_first else ("XRANGE", oldest, "+")
    verb, *ends = span
    replies = await bus.commands.together(
        *((verb, bus.keys.input(flow_run_id, name), *ends, "COUNT", limit) for name in names)
    )
    found = [
        read_stored_input(name, entry_id, fields)
        for name, reply in zip(names, replies, strict=True)
        for entry_id, fields in reply
    ]
    return sorted(found, key=_order, reverse=newest_first)[:limit]


async def follow(bus: Bus, flow_run_id: UUID, stream: str | None) -> AsyncGenerator[StoredInput]:
    """Yield the inputs of one stream of a run, or of all, and wait for more until it has ended.

    Raises `RunMissing` when the run was there and is lost.
    """
    places: dict[str, str] = {}
    state: str | None = None
    while TYPES.get(state or "") not in FINAL:
        known, state = state, await _read_state(bus, flow_run_id)
        if known and not state:
            raise RunMissing(flow_run_id)
        names = [stream] if stream is not None else list(await _read_counts(bus, flow_run_id))
        places = await _still_there(bus, flow_run_id, {name: places.get(name) for name in names})
        ends = TYPES.get(state or "") in FINAL
        async for item in _follow_known(bus, flow_run_id, places, ends=ends):
            yield item


async def _still_there(
    bus: Bus, flow_run_id: UUID, places: Mapping[str, str | None]
) -> dict[str, str]:
    # A failover may have taken the last inputs back: those that follow would come before them.
    ahead = {name: place for name, place in places.items() if place is not None}
    newest = await bus.commands.together(
        *(("XREVRANGE", bus.keys.input(flow_run_id, name), "+", "-", "COUNT", 1) for name in ahead)
    )
    ends = (entries[0][0].decode() if entries else BEGINNING for entries in newest)
    found = {
        name: min(place, end, key=numbers_of)
        for (name, place), end in zip(ahead.items(), ends, strict=True)
    }
    return {name: found.get(name, BEGINNING) for name in places}


async def _follow_known(
    bus: Bus, flow_run_id: UUID, places: dict[str, str], *, ends: bool
) -> AsyncGenerator[StoredInput]:
    # Until nothing has come for a while: then there may be another stream.
    keys = {name: bus.keys.input(flow_run_id, name) for name in places}
    if not keys:
        await asyncio.sleep(0 if ends else LOOK_SECONDS)
        return
    consumer = Consumer(bus, flow_run_id, keys, POLL_SECONDS, marks=False)
    for position in consumer.positions:
        position.cursor = places[position.name]
    try:
        while await _has_more(consumer, ends=ends):
            for name, entry_id, fields in consumer.taken():
                places[name] = entry_id.decode()
                yield read_stored_input(name, entry_id, fields)
    finally:
        consumer.close()


async def _has_more(consumer: Consumer, *, ends: bool) -> bool:
    try:
        return await consumer.wait(0 if ends else LOOK_SECONDS)
    except ServerUnreachable:
        if ends:
            raise
        return False  # for now: who looks at the run next is patient


async def _read_state(bus: Bus, flow_run_id: UUID) -> str | None:
    # Of a run that runbus does not know, nobody can say.
    name = await bus.commands.command("HGET", bus.keys.run(flow_run_id), "state_name")
    return None if name is None else name.decode(errors="replace")


async def _read_counts(bus: Bus, flow_run_id: UUID) -> dict[str, int]:
    """Return the names of a run's streams, each with how many of its entries were read."""
    fields = await bus.commands.command("HGETALL", bus.keys.streams(flow_run_id))
    named = {name.decode(errors="replace"): count for name, count in fields.items()}
    return {
        name.removeprefix(_READ): read_number(count)
        for name, count in sorted(named.items())
        if name.startswith(_READ)
    }


def _order(item: StoredInput) -> tuple[int, int, str]:
    return (*numbers_of(item.id), item.stream)
