"""Lists of runs: one order over the indexes of all tags.

Each tag has an index of its own, which may hold the whole page or nothing of it. So each is asked
for a little more than its share, and those that may have more of the page are asked again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import TYPE_CHECKING, Protocol

from runbus.protocol.ids import read_run_ids
from runbus.protocol.keys import TAGS
from runbus.store import scripts

if TYPE_CHECKING:
    from uuid import UUID

    from runbus.protocol.run_filter import RunFilter
    from runbus.store.bus import Bus

SMALLEST_SHARE = 5
MOST_LOOKED_AT = 500
"""How many runs a script looks at, before others have their turn at the server."""

Place = tuple[float, bytes]
"""What a run is ordered by, and its id."""


@dataclass
class Section:
    """What is known of one tag's part of a list."""

    tag: str
    places: dict[bytes, float] = field(default_factory=dict[bytes, float])
    looked_at: int = 0
    """How many runs of the index were looked at."""
    frontier: Place = (float("-inf"), b"")
    """How far: what has not been seen comes after this place."""
    has_more: bool = True


class Order(Protocol):
    """Asks the sections for more, in one order."""

    async def extend(self, sections: list[Section], count: int) -> None: ...


async def first(order: Order, count: int) -> list[Place]:
    """Return the first places of a list."""
    sections = [Section(tag) for tag in TAGS]
    unsure, share = sections, SMALLEST_SHARE + 2 * count // len(sections)
    places: list[Place] = []
    while unsure:
        await order.extend(unsure, share)
        found = ((at, id_) for each in sections for id_, at in each.places.items())
        places = nsmallest(count, found)
        is_full = len(places) == count
        unsure = [
            each
            for each in sections
            if each.has_more and not (is_full and each.frontier >= places[-1])
        ]
        share *= 2
    return places


class Deadlines:
    """The runs that wait for an answer, the earliest deadline first."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def extend(self, sections: list[Section], count: int) -> None:
        """Read the next places of these sections."""
        replies = await self._bus.requests.commands(
            *(self._command(each, count) for each in sections)
        )
        for section, reply in zip(sections, replies, strict=True):
            found = [(score, id_) for id_, score in reply]
            _take(section, found, len(reply), count)
            # Of equal deadlines (all those that have none) the server too lists the ids in order.
            section.frontier = found[-1] if found else section.frontier

    def _command(self, section: Section, count: int) -> tuple[str | int, ...]:
        start = section.looked_at
        key = self._bus.keys.pending(section.tag)
        return ("ZRANGE", key, start, start + count - 1, "WITHSCORES")


class Newest:
    """The runs of a filter, the newest first."""

    def __init__(self, bus: Bus, chosen: RunFilter) -> None:
        self._bus = bus
        self._chosen = chosen
        self._index = bus.keys.active if chosen.is_of_active else bus.keys.runs

    async def extend(self, sections: list[Section], count: int) -> None:
        """Read the next places of these sections."""
        extend = self._extend_all if self._chosen.wants_all else self._extend_chosen
        await extend(sections, count)

    async def _extend_all(self, sections: list[Section], count: int) -> None:
        oldest, newest = self._chosen.scores()
        options = ("BYSCORE", "REV", "LIMIT")
        commands = (
            ("ZRANGE", self._index(each.tag), newest, oldest, *options, each.looked_at, count)
            for each in sections
        )
        replies = await self._bus.requests.commands(*((*each, "WITHSCORES") for each in commands))
        for section, reply in zip(sections, replies, strict=True):
            _take(section, [(-score, id_) for id_, score in reply], len(reply), count)

    async def _extend_chosen(self, sections: list[Section], count: int) -> None:
        await asyncio.gather(*(self._find(section, count) for section in sections))

    async def _find(self, section: Section, count: int) -> None:
        keys, tag = self._bus.keys, section.tag
        call = (1, self._index(tag), keys.of_tag(tag), section.looked_at, count, MOST_LOOKED_AT)
        reply = await self._bus.requests.script(
            scripts.LIST_RUNS, (*call, *self._chosen.scores(), *self._chosen.arguments())
        )
        looked_at, last, *found = reply
        section.places |= {id_: -float(at) for id_, at in zip(found[::2], found[1::2], strict=True)}
        section.has_more = looked_at >= 0
        section.looked_at = looked_at
        section.frontier = (-float(last or "inf"), b"")


def _take(section: Section, places: list[Place], read: int, asked: int) -> None:
    section.places |= {id_: at for at, id_ in places}
    section.looked_at += read
    section.has_more = read == asked
    if places:
        section.frontier = (places[-1][0], b"")


async def page(order: Order, offset: int, limit: int) -> list[UUID]:
    """Return the ids of one page of a list."""
    places = await first(order, offset + limit)
    return read_run_ids(id_ for _, id_ in places[offset:])


async def count_waiting(bus: Bus) -> int:
    """Return how many runs wait for an answer."""
    return sum(await bus.requests.commands(*(("ZCARD", bus.keys.pending(tag)) for tag in TAGS)))
