"""Lists of runs: one order over the indexes of all tags.

Each tag has an index of its own, which may hold the whole page or nothing of it. So each is asked
for its share first, and those that may have more of the page are asked for more. Tags whose primary
is away are left out (see `Primaries.available`).
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol

from runbus.protocol.fields import read_fields
from runbus.protocol.ids import read_run_ids
from runbus.protocol.keys import TAGS
from runbus.protocol.records import FlowRun, read_flow_run
from runbus.store.connection import script_calls, scripts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from runbus.protocol.run_filter import RunFilter
    from runbus.store.bus import Bus
    from runbus.store.connection.connection import Command
    from runbus.store.connection.reply import Reply

GROWTH = 4
"""How many times as much a tag is asked for each time."""
MOST_LOOKED_AT = 500
"""How many runs a script looks at, before others have their turn at the server."""

Place = tuple[bytes, float]
"""A run's id, and what it is ordered by."""
_in_order = itemgetter(1, 0)
_AFTER_ALL_IDS = b"\xff"


@dataclass(slots=True)
class Section:
    """How far one tag's part of a list was read."""

    tag: str
    looked_at: int = 0
    """How many runs of the index were looked at."""
    last: Place | None = None
    """The last of them: what has not been seen comes after it."""
    has_more: bool = True

    def may_hold(self, place: Place, *, reverse: bool) -> bool:
        """Whether something that has not been seen may come before a place."""
        if not self.has_more or self.last is None:
            return self.has_more
        # Among equals the server too lists the ids in order.
        last, wanted = _in_order(self.last), _in_order(place)
        return last > wanted if reverse else last < wanted


class Order(Protocol):
    """Reads on in the sections, in one order."""

    reverse: bool

    async def extend(self, sections: list[Section], count: int) -> Iterable[Iterable[Place]]:
        """Return the next places of each section, of about `count` runs."""
        ...


async def first(order: Order, count: int) -> list[bytes]:
    """Return the ids of the first runs of a list."""
    sections = [Section(tag) for tag in TAGS]
    unsure, share = sections, 1 + count // len(sections)
    found: dict[bytes, float] = {}
    places: list[Place] = []
    while unsure:
        for part in await order.extend(unsure, share):
            found.update(part)
        places = sorted(found.items(), key=_in_order, reverse=order.reverse)[:count]
        is_full = len(places) == count
        unsure = [
            each
            for each in unsure
            if (each.may_hold(places[-1], reverse=order.reverse) if is_full else each.has_more)
        ]
        share *= GROWTH
    return [id_ for id_, _ in places]


class Deadlines:
    """The runs that wait for an answer, the earliest deadline first."""

    reverse = False

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def extend(self, sections: list[Section], count: int) -> list[list[Place]]:
        """Read the next places of these sections."""
        index = self._bus.keys.pending
        commands = (
            ("ZRANGE", index(each.tag), each.looked_at, each.looked_at + count - 1)
            for each in sections
        )
        return await _read_on(self._bus, sections, count, commands)


class Newest:
    """The runs of a filter, the newest first."""

    reverse = True

    def __init__(self, bus: Bus, chosen: RunFilter, *, unfiltered: bool = False) -> None:
        """`unfiltered`, all that the filter's index has of the time that is asked for."""
        self._bus = bus
        self._chosen = chosen
        self._looks_at_runs = not (unfiltered or chosen.wants_all)
        self._index = bus.keys.active if chosen.is_of_active else bus.keys.runs

    async def extend(self, sections: list[Section], count: int) -> list[list[Place]]:
        """Read the next places of these sections."""
        if self._looks_at_runs:
            return await self._find(sections, count)
        oldest, newest = self._chosen.scores()
        options = ("BYSCORE", "REV", "LIMIT")
        commands = (
            ("ZRANGE", self._index(each.tag), newest, oldest, *options, each.looked_at, count)
            for each in sections
        )
        return await _read_on(self._bus, sections, count, commands)

    async def _find(self, sections: list[Section], count: int) -> list[list[Place]]:
        keys, wanted = self._bus.keys, self._chosen.arguments()
        oldest, newest = self._chosen.scores()
        calls = (
            script_calls.list_runs(
                **wanted,
                index=self._index(each.tag),
                tag_base=keys.of_tag(each.tag),
                passed=each.looked_at,
                count=count,
                bound=MOST_LOOKED_AT,
                oldest=oldest,
                newest=newest,
            )
            for each in sections
        )
        replies = await self._bus.primaries.available(*map(scripts.LIST_RUNS.command, calls))
        return [_found(*parts) for parts in zip(sections, replies, strict=True)]


def _found(section: Section, reply: list[Reply] | None) -> list[Place]:
    if reply is None:
        section.has_more = False
        return []
    looked_at, last, *found = reply
    section.has_more = looked_at >= 0
    section.looked_at = looked_at
    # Which of those that are as old it was, the reply does not say: all of them, maybe.
    section.last = (_AFTER_ALL_IDS, float(last)) if last else section.last
    return list(zip(found[::2], map(float, found[1::2]), strict=True))


async def _read_on(
    bus: Bus, sections: list[Section], count: int, commands: Iterable[Command]
) -> list[list[Place]]:
    answers = await bus.primaries.available(*((*each, "WITHSCORES") for each in commands))
    replies: list[list[Place]] = [reply or [] for reply in answers]
    for section, reply in zip(sections, replies, strict=True):
        section.looked_at += len(reply)
        section.has_more = len(reply) == count
        section.last = reply[-1] if reply else section.last
    return replies


async def read_runs(bus: Bus, chosen: RunFilter, offset: int, limit: int) -> list[FlowRun]:
    """Read one page of a list of runs, the newest first."""
    if chosen.wants_states_of_active and offset + limit <= MOST_LOOKED_AT:
        # Often most of those that have not ended suit: then they are found as fast as all.
        newest = await page(Newest(bus, chosen, unfiltered=True), 0, offset + limit)
        found = [each for each in await _read(bus, newest) if each.state.name in chosen.states]
        if len(found) == offset + limit or len(newest) < offset + limit:
            return found[offset:]
    return await _read(bus, await page(Newest(bus, chosen), offset, limit))


async def _read(bus: Bus, flow_run_ids: list[UUID]) -> list[FlowRun]:
    replies = await bus.primaries.available(
        *(("HGETALL", bus.keys.run(flow_run_id)) for flow_run_id in flow_run_ids)
    )
    found = (
        read_flow_run(flow_run_id, read_fields(reply or {}))
        for flow_run_id, reply in zip(flow_run_ids, replies, strict=True)
    )
    return [run for run in found if run is not None]


async def page(order: Order, offset: int, limit: int) -> list[UUID]:
    """Return the ids of one page of a list."""
    return read_run_ids((await first(order, offset + limit))[offset:])


async def count_waiting(bus: Bus) -> int:
    """Return how many runs wait for an answer."""
    counts = await bus.primaries.available(*(("ZCARD", bus.keys.pending(tag)) for tag in TAGS))
    return sum(count or 0 for count in counts)
