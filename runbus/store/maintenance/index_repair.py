"""Index repair: the indexes of runs say what the records of the runs say.

Scripts change both in one step, so there is nothing to repair unless somebody deleted an index or a
failover cut a resharding short. A slow duty goes through the runs that have not ended, some at a
time; `repair_all` goes through all keys, and so finds runs that stand in no index. So does
`examine`, which changes nothing.
"""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING
from uuid import UUID

from runbus.errors import RunbusError
from runbus.protocol.ids import read_run_ids
from runbus.protocol.keys import TAGS, pattern_of_runs
from runbus.protocol.keys import tag as tag_of_run
from runbus.store.available import available
from runbus.store.connection import script_calls, scripts
from runbus.store.maintenance.recovery import end_abandoned
from runbus.store.records.tag_arguments import tag_arguments

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from runbus.store.bus import Bus
    from runbus.store.connection.connection import Command
    from runbus.store.connection.reply import Reply

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
        commands = [_call(self._bus, tag, self._passed[tag]) for tag in tags]
        try:
            replies = await self._bus.primaries.each(*commands)
            found = dict(zip(tags, replies, strict=True))
            works = [self._settle(tag, reply) for tag, reply in found.items()]
            repaired = sum(each or 0 for each in await available(works, 5.0, needs_one=False))
        finally:
            # Those with more runs come again first.
            more = [tag for tag in tags if self._passed[tag]]
            done = [tag for tag in tags if not self._passed[tag]]
            self._tags = [*more, *self._tags[len(tags) :], *done]
        if repaired:
            _log.warning("%d entries of indexes did not fit the records of runs", repaired)
        self._bus.primaries.raise_if_forbidden(commands, replies)
        return repaired

    async def _settle(self, tag: str, reply: Reply) -> int:
        self._passed[tag] = 0
        if isinstance(reply, Exception):
            return 0
        self._passed[tag] = max(0, int(reply[0]))
        try:
            return await _follow_up(self._bus, reply)
        except RunbusError as error:
            _log.debug("tag %s is looked at again later: %s", tag, error)
            return 0


async def repair_all(bus: Bus) -> int:
    """Look at all runs there are, by their keys. Return how many entries were put right.

    Raises `RightMissing` for a user who may not do this.
    """
    repaired = 0
    async for runs_of in _all_runs(bus):
        for tag, ids in runs_of.items():
            (reply,) = await bus.commands.together(_call(bus, tag, None, *ids))
            repaired += await _follow_up(bus, reply)
    return repaired


async def examine(bus: Bus, seconds: float) -> tuple[int, int, bool]:
    """Look at runs for so long (seconds), and change nothing.

    Return how many were looked at, how many entries of indexes do not fit, and whether these were
    all runs.
    """
    looked_at, wrong, end = 0, 0, bus.loop.time() + seconds
    async for runs_of in _all_runs(bus):
        replies = await bus.commands.together(
            *(_call(bus, tag, None, *ids, changes=False) for tag, ids in runs_of.items())
        )
        looked_at += sum(map(len, runs_of.values()))
        wrong += sum(int(reply[1]) for reply in replies)
        if bus.loop.time() > end:
            return looked_at, wrong, False
    return looked_at, wrong, True


async def _all_runs(bus: Bus) -> AsyncGenerator[dict[str, list[UUID]]]:
    """Yield the ids of runs by their tags, a bounded number at a time, from every primary."""
    tag_of = {bus.topology.owner(bus.keys.runs(tag)).server.address: tag for tag in TAGS}
    pattern = pattern_of_runs(bus.keys.prefix)
    for some_tag in tag_of.values():
        async for found in bus.commands.scan(bus.keys.runs(some_tag), pattern):
            runs_of: dict[str, list[UUID]] = {}
            for run_id in read_run_ids(key.rsplit(b":", 2)[-2] for key in found):
                runs_of.setdefault(tag_of_run(run_id), []).append(run_id)
            yield runs_of


def _call(bus: Bus, tag: str, passed: int | None, *run_ids: UUID, changes: bool = True) -> Command:
    call = script_calls.repair_index(
        **tag_arguments(bus, tag),
        passed=passed,
        count=RUNS_AT_ONCE,
        changes=changes,
        run_ids=run_ids,
    )
    return scripts.REPAIR_INDEX.command(call)


async def _follow_up(bus: Bus, reply: list[bytes]) -> int:
    _, repaired, *left = reply
    parts = [UUID(each.decode()) for each in left]
    await end_abandoned(bus, dict(zip(parts[::2], parts[1::2], strict=True)))
    return int(repaired)
