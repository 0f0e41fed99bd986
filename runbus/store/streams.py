"""The input streams of a run, read without receiving from them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runbus.protocol.fields import read_number
from runbus.protocol.states import FINAL, TYPES
from runbus.protocol.stored_input import StoredInput, StreamInfo, read_stored_input
from runbus.store.reader import Reader

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from uuid import UUID

    from runbus.store.bus import Bus

LOOK_SECONDS = 1.0
"""How often a follower looks for streams that have come, and whether the run has ended."""
POLL_SECONDS = 10.0
_READ = "read:"


async def info(bus: Bus, flow_run_id: UUID) -> list[StreamInfo]:
    """List the input streams of a run by their names."""
    counts = await _read_counts(bus, flow_run_id)
    lengths = await bus.requests.commands(
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
    replies = await bus.requests.commands(
        *((verb, bus.keys.input(flow_run_id, name), *ends, "COUNT", limit) for name in names)
    )
    found = [
        read_stored_input(name, entry_id, fields)
        for name, reply in zip(names, replies, strict=True)
        for entry_id, fields in reply
    ]
    return sorted(found, key=_order, reverse=newest_first)[:limit]


async def follow(bus: Bus, flow_run_id: UUID, stream: str | None) -> AsyncGenerator[StoredInput]:
    """Yield the inputs of one stream of a run, or of all, and wait for more until it has ended."""
    places: dict[str, bytes | str] = {}
    while True:
        ended = await _has_ended(bus, flow_run_id)
        names = [stream] if stream is not None else list(await _read_counts(bus, flow_run_id))
        places = {name: places.get(name, "0-0") for name in names}
        async for item in _follow_known(bus, flow_run_id, places, ends=ended):
            yield item
        if ended:
            return


async def _follow_known(
    bus: Bus, flow_run_id: UUID, places: dict[str, bytes | str], *, ends: bool
) -> AsyncGenerator[StoredInput]:
    # Until nothing has come for a while: then there may be another stream.
    keys = {name: bus.keys.input(flow_run_id, name) for name in places}
    if not keys:
        await asyncio.sleep(0 if ends else LOOK_SECONDS)
        return
    reader = Reader(bus, flow_run_id, keys, POLL_SECONDS, marks=False)
    for tail in reader.tails:
        tail.cursor = places[tail.name]
    try:
        while await reader.wait(0 if ends else LOOK_SECONDS):
            for name, entry_id, fields in reader.taken():
                places[name] = entry_id
                yield read_stored_input(name, entry_id, fields)
    finally:
        reader.close()


async def _has_ended(bus: Bus, flow_run_id: UUID) -> bool:
    # Of a run that runbus does not know, nobody can say.
    name = await bus.requests.command("HGET", bus.keys.run(flow_run_id), "state_name")
    return name is not None and TYPES.get(name.decode(errors="replace")) in FINAL


async def _read_counts(bus: Bus, flow_run_id: UUID) -> dict[str, int]:
    """Return the names of a run's streams, each with how many of its entries were read."""
    fields = await bus.requests.command("HGETALL", bus.keys.streams(flow_run_id))
    named = {name.decode(errors="replace"): count for name, count in fields.items()}
    return {
        name.removeprefix(_READ): read_number(count)
        for name, count in sorted(named.items())
        if name.startswith(_READ)
    }


def _order(item: StoredInput) -> tuple[int, int, str]:
    milliseconds, _, number = item.id.partition("-")
    return int(milliseconds), int(number), item.stream
