"""The runs that were started as parts of another: found by their parent, and ended with it.

A child's id is made of its parent's and of the ordinal of the call, so no index of them is needed.
One that was started with a key of the caller's own (`idempotency_key`) is not among them: it may be
anybody's.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING
from uuid import uuid5

from runbus.errors import RunMissing
from runbus.store.records import runs

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
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


async def read(bus: Bus, parent_run_id: UUID) -> list[FlowRun]:
    """Read the runs that were started as parts of another, and are still stored."""
    found: list[FlowRun] = []
    for first in count(1, AT_ONCE):
        ordinals = range(first, first + AT_ONCE)
        of_these = await _read_calls(bus, [ids_of_call(parent_run_id, each) for each in ordinals])
        if not of_these:
            return found
        found += of_these
    return found


async def _read_calls(bus: Bus, calls: Iterable[Generator[UUID]]) -> list[FlowRun]:
    found: list[FlowRun] = []
    while calls:
        attempts = await runs.read_several(bus, [next(call) for call in calls])
        calls = [call for call, run in zip(calls, attempts, strict=True) if run is not None]
        found += [run for run in attempts if run is not None]
    return found


async def end_called(bus: Bus, parent_run_id: UUID, state: str) -> None:
    """Move the unfinished flows that were called in a run that has ended to a final state.

    And those that were called in them: without it, nobody goes on with them. Their questions take
    no answer any more.
    """
    for child in await read(bus, parent_run_id):
        if child.deployment_id is None and not child.state.is_final():
            with suppress(RunMissing):
                await runs.move(bus, child, state, "its parent has ended")
            await end_called(bus, child.id, state)
