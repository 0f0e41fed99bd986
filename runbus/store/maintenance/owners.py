"""Owners: whether the process of a run that was called directly lives, for who wants its answer.

No worker looks after such a run. So whoever would answer it, or lists it, looks by the same rule as
workers do (see `recovery`): a run is taken from its owner only after looks for a whole lease. A
flow that was called in another run stands and falls with the run that was called first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from runbus.errors import OwnerGone, OwnerSilent, RunbusError
from runbus.protocol.fields import read_fields
from runbus.protocol.records import FlowRun, read_flow_run
from runbus.store.records import executions, runs
from runbus.store.records.child_runs import Children

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from runbus.protocol.records import Pause
    from runbus.store.bus import Bus

ALIVE, UNSURE, GONE = "ALIVE", "UNSURE", "TAKEN"
DEEPEST = 100
"""How many callers of a run are looked through at most."""


async def ensure_waits(bus: Bus, run: FlowRun, pause: Pause) -> None:
    """Raise `OwnerGone` or `OwnerSilent` unless somebody waits for the answer of a called run."""
    (root,) = await _first_callers(bus, [run])
    if root is None or not _is_looked_after(root):
        return
    verdict, state = await executions.check_owner(bus, root)
    if verdict == GONE:
        await Children(bus).end_called(root.id, state)
        raise OwnerGone(flow_run_id=run.id, state=(await runs.read(bus, run.id)).state.name)
    if verdict == UNSURE:
        raise OwnerSilent(
            flow_run_id=run.id,
            retry_seconds=bus.settings.lease_seconds / 3,
            key=pause.key,
            generation=pause.generation,
        )


async def check(bus: Bus, listed: Iterable[FlowRun]) -> dict[UUID, str]:
    """Look after those of these runs that were called directly; return a verdict for each of them.

    `ALIVE`; `UNSURE` until those who look have done so for a whole lease; `GONE`: then the run has
    ended, with what it called. Each is looked at every third of a lease at most: between, the last
    verdict stands. Where a run cannot be looked at, there is none, and nobody waits for it.
    """
    seen, now = _seen.setdefault(bus, {}), bus.loop.time()
    for run_id in [each for each, (at, _) in seen.items() if now - at > bus.settings.lease_seconds]:
        del seen[run_id]
    called = [run for run in listed if run.deployment_id is None]
    third = bus.settings.lease_seconds / 3
    due = [run for run in called if run.id not in seen or now - seen[run.id][0] >= third]
    try:
        verdicts = await _look(bus, due) if due else []
    except RunbusError:  # a list is shown all the same
        verdicts = [""] * len(due)
    seen.update((run.id, (now, each)) for run, each in zip(due, verdicts, strict=True))
    return {run.id: seen[run.id][1] for run in called if run.id in seen and seen[run.id][1]}


async def _look(bus: Bus, called: list[FlowRun]) -> list[str]:
    found = await _first_callers(bus, called)
    roots = {root.id: root for root in found if root is not None and _is_looked_after(root)}
    replies = dict(zip(roots, await executions.check_owners(bus, [*roots.values()]), strict=True))
    ended = {run_id: state for run_id, (verdict, state) in replies.items() if verdict == GONE}
    await _end_called(bus, {**ended, **_ended_before(called, found)})
    known = {run_id: verdict for run_id, (verdict, _) in replies.items()}
    return ["" if root is None else known.get(root.id, ALIVE) for root in found]


async def _end_called(bus: Bus, ended: Mapping[UUID, str]) -> None:
    children = Children(bus)
    for run_id, state in ended.items():
        await children.end_called(run_id, state)


def _ended_before(called: list[FlowRun], roots: list[FlowRun | None]) -> dict[UUID, str]:
    # Nobody goes on with these: a primary was away when the run ended that was called first.
    return {
        root.id: "Crashed" if root.state.name == "Crashed" else "Cancelled"
        for run, root in zip(called, roots, strict=True)
        if run.owner is None
        and not run.state.is_final()
        and root is not None
        and root.state.is_final()
    }


def _is_looked_after(root: FlowRun) -> bool:
    # Those of deployments, workers look after.
    return root.deployment_id is None and not root.state.is_final()


async def _first_callers(bus: Bus, called: list[FlowRun]) -> list[FlowRun | None]:
    found: list[FlowRun | None] = [*called]
    for _ in range(DEEPEST):
        parents = {at: parent for at, run in enumerate(found) if (parent := _caller_of(run))}
        if not parents:
            break
        replies = await bus.primaries.available(
            *(("HGETALL", bus.keys.run(parent)) for parent in parents.values())
        )
        for (at, parent), reply in zip(parents.items(), replies, strict=True):
            found[at] = read_flow_run(parent, read_fields(reply or {}))
    return found


def _caller_of(run: FlowRun | None) -> UUID | None:
    return run.parent_run_id if run is not None and run.deployment_id is None else None


_seen: WeakKeyDictionary[Bus, dict[UUID, tuple[float, str]]] = WeakKeyDictionary()
"""Of each event loop: when (its seconds) it looked at which run last, and what it found."""
