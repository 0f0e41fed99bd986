"""Index repair: the indexes of runs say what the records of the runs say.

Scripts change both in one step, so there is nothing to repair unless somebody deleted an index or a
failover cut a resharding short. A slow duty goes through the runs that have not ended, some at a
time; `repair_all` goes through all keys, and so finds runs that stand in no index.
"""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Any
from uuid import UUID

from runbus.errors import RunbusError
from runbus.protocol.keys import TAGS
from runbus.store import scripts
from runbus.store.available import available
from runbus.store.maintenance.recovery import end_abandoned

if TYPE_CHECKING:
    from runbus.store.bus import Bus
    from runbus.store.link import Command

TAGS_AT_ONCE = 8
RUNS_AT_ONCE = 64
_log = logging.getLogger("runbus")


class IndexRepair:
    """A walk through the runs that have not ended, tag by tag, round and round."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._tags = random.sample(TAGS, len(TAGS))
        self._passed = dict.fromkeys(TAGS, 0)

    async def step(self) -> int:
        """Look at some runs of some tags. Return how many entries of indexes were put right."""
        tags = self._tags[:TAGS_AT_ONCE]
        try:
            replies = await self._bus.requests.each(
                *(_call(self._bus, tag, str(self._passed[tag])) for tag in tags)
            )
            found = dict(zip(tags, replies, strict=True))
            works = [self._settle(tag, reply) for tag, reply in found.items()]
            return sum(each or 0 for each in await available(works, 5.0, needs_one=False))
        finally:
            # Those with more runs come again first.
            more = [tag for tag in tags if self._passed[tag]]
            done = [tag for tag in tags if not self._passed[tag]]
            self._tags = [*more, *self._tags[len(tags) :], *done]

    async def _settle(self, tag: str, reply: Any) -> int:
        self._passed[tag] = 0
        if isinstance(reply, Exception):
            return 0
        self._passed[tag] = max(0, int(reply[0]))
        try:
            return await _follow_up(self._bus, tag, reply)
        except RunbusError as error:
            _log.debug("tag %s is looked at again later: %s", tag, error)
            return 0


async def repair_all(bus: Bus) -> int:
    """Look at all runs there are, by their keys. Return how many entries were put right."""
    repaired = 0
    for tag in TAGS:
        pattern = f"{bus.keys.of_tag(tag)}*:run".replace("[", "\\[").replace("*", "*")
        async for found in bus.requests.scan(bus.keys.runs(tag), pattern):
            ids = [key.rsplit(b":", 2)[-2].decode() for key in found]
            for at in range(0, len(ids), RUNS_AT_ONCE):
                (reply,) = await bus.requests.commands(
                    _call(bus, tag, "", *ids[at : at + RUNS_AT_ONCE])
                )
                repaired += await _follow_up(bus, tag, reply)
    return repaired


def _call(bus: Bus, tag: str, passed: str, *ids: str) -> Command:
    keys = bus.keys
    return (
        *("EVALSHA", scripts.REPAIR_INDEX.sha, 6),
        *(keys.runs(tag), keys.active(tag), keys.pending(tag), keys.executing(tag)),
        *(keys.events(tag), keys.ended(tag)),
        *(keys.of_tag(tag), passed, bus.lifetime_ms, RUNS_AT_ONCE, *ids),
    )


async def _follow_up(bus: Bus, tag: str, reply: list[bytes]) -> int:
    _, repaired, *left = reply
    parts = [UUID(each.decode()) for each in left]
    await end_abandoned(bus, dict(zip(parts[::2], parts[1::2], strict=True)))
    if int(repaired):
        _log.warning("tag %s: %d entries of indexes did not fit the records of runs", tag, repaired)
    return int(repaired)
