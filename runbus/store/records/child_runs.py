"""The runs that were started as parts of another: found by their parent, and ended with it.

A child's id is made of its parent's and of the ordinal of the call, so no index of them is needed.
One that was started with a key of the caller's own (`idempotency_key`) is not among them: it may be
anybody's.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING
from uuid import uuid5

from runbus.errors import RunMissing, ServerUnreachable
from runbus.store.records import runs

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from uuid import UUID

    from runbus.protocol.records import FlowRun
    from runbus.store.bus import Bus

AT_ONCE = 32
"""How many calls of a parent are looked for at once; after as many that are gone, no more are."""


def ids_of_call(parent_run_id: UUID, ordinal: int) -> Generator[UUID]:
    """Yield the ids of the runs of one call: of its first attempt, its second, and so on."""
    name = f"child {ordinal}"
    yield uuid5(parent_run_id, name)
    for attempt in count(2):
        yield uuid5(parent_run_id, f"{name}, attempt {attempt}")


async def secrets_of(bus: Bus, flow_run_id: UUID) -> str | None:
    """Return the digest of the secrets that a run was called with; None for one without."""
    digest = await bus.commands.command("HGET", bus.keys.run(flow_run_id), "secrets")
    return None if digest is None else digest.decode()


class Children:
    """A look at runs that were started as parts of others, as far as they can be reached.

    A primary that has kept it waiting is not asked again by the same look.
    """

    def __init__(self, bus: Bus, former: Children | None = None) -> None:
        """One that takes up a `former` one goes on with the runs that this one has ended."""
        self.is_again = former is not None
        """Whether a former look could not reach all."""
        self.ended: set[UUID] = set() if former is None else former.ended
        """The runs that were ended: there may be more to end among their children."""
        self.bus = bus
        self._away: set[str] = set()

    @property
    def is_complete(self) -> bool:
        """Whether each primary that was asked has answered."""
        return not self._away

    async def of(self, parent_run_id: UUID) -> list[FlowRun]:
        """Read the runs that were started as parts of another, and are still stored."""
        found: list[FlowRun] = []
        for first in count(1, AT_ONCE):
            ordinals = range(first, first + AT_ONCE)
            of_these = await self._of_calls([ids_of_call(parent_run_id, each) for each in ordinals])
            if not of_these:
                return found
            found += of_these
        return found

    async def _of_calls(self, calls: list[Generator[UUID]]) -> list[FlowRun]:
        found: list[FlowRun] = []
        while calls and not self._are_all_away():
            ids = [next(call) for call in calls]
            attempts = await self._read(ids)
            found += [run for run in attempts.values() if run is not None]
            # After one that cannot be read there may be others.
            calls = [
                call
                for call, run_id in zip(calls, ids, strict=True)
                if run_id not in attempts or attempts[run_id] is not None
            ]
        return found

    async def _read(self, ids: list[UUID]) -> dict[UUID, FlowRun | None]:
        asked = [each for each in ids if not self._away or self._address(each) not in self._away]
        found = await runs.read_available(self.bus, asked)
        self._away |= {self._address(each) for each in asked if each not in found}
        return found

    def _are_all_away(self) -> bool:
        primaries = self.bus.topology.primaries() if self._away else ()
        return bool(primaries) and {each.server.address for each in primaries} <= self._away

    def _address(self, run_id: UUID) -> str:
        return self.bus.topology.owner(self.bus.keys.run(run_id)).server.address

    async def end(self, run_id: UUID, work: Callable[[], Coroutine[object, None, bool]]) -> None:
        """End a run by `work`, which says whether it did, unless its primary is away."""
        try:
            if await self.bus.primaries.soon(self.bus.keys.run(run_id), work):
                self.ended.add(run_id)
        except ServerUnreachable:
            if self.bus.primaries.has_one_server:
                raise
            self._away.add(self._address(run_id))

    async def end_called(self, parent_run_id: UUID, state: str) -> None:
        """Move the unfinished flows that were called in a run that has ended to a final state.

        And those that were called in them: without it, nobody goes on with them. Their questions
        take no answer any more.
        """
        for child in await self.of(parent_run_id):
            if child.deployment_id is not None:
                continue
            if not child.state.is_final():
                await self.end(child.id, partial(self._move, child, state))
            if child.id in self.ended or not child.state.is_final():
                await self.end_called(child.id, state)

    async def _move(self, child: FlowRun, state: str) -> bool:
        with suppress(RunMissing):
            await runs.move(self.bus, child, state, "its parent has ended")
        return True
