"""Reconciliation: what the server says that a process executes, compared with what it executes.

After each renewal, both ways, by run and epoch. A run that only the server knows of is released:
its claim came without a reply, or its end was lost by a failover and is recorded again. A run that
only the process knows of ends here: another one has it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbus.errors import FlowRunCancelled, RunbusError, RunLost
from runbus.store.available import available
from runbus.store.connection.counters import counts
from runbus.store.maintenance.recovery import end_abandoned
from runbus.store.records import deployments, executions, runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runbus.store.bus import Bus
    from runbus.store.maintenance.holdings import Execution, Held, Holdings, Snapshot
    from runbus.store.maintenance.kept_ends import KeptEnd

PATIENCE_SECONDS = 3.0
"""How long one tag may take; one that takes longer is compared again after the next renewal."""
_log = logging.getLogger("runbus.flow_runs")


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """One comparison, of one process."""

    bus: Bus
    process: str
    holdings: Holdings
    keep_again: Callable[[KeptEnd], object]
    """Records an end once more."""

    async def compare(self, tags: Iterable[str]) -> list[str]:
        """Compare, in these tags; return those that could be read."""
        wanted = sorted(tags)
        before = {tag: self.holdings.snapshot(tag) for tag in wanted}
        found = await executions.held_by(self.bus, self.process, wanted)
        works = [self._try(tag, before[tag], held) for tag, held in found.items()]
        done = await available(works, PATIENCE_SECONDS, needs_one=False)
        return [tag for tag, is_done in zip(found, done, strict=True) if is_done]

    async def _try(self, tag: str, before: Snapshot, found: set[Held]) -> bool:
        try:
            await self._settle(tag, before, found)
        except RunbusError as error:
            _log.warning("what this process has of tag %s is compared again later: %s", tag, error)
            return False
        return True

    async def _settle(self, tag: str, before: Snapshot, found: set[Held]) -> None:
        # What is only here is judged by what was here before the read, what is only there after.
        now = self.holdings.snapshot(tag)
        for held, execution in before.executions.items():
            if held not in found and held in now.executions:
                await self._lose(execution)
        for held in found:
            if not now.explains(held):
                await self._release(held)
        for held in self.holdings.losses(tag):
            await executions.reset_crashes(self.bus, *held)  # this process lives: it was no crash
            self.holdings.forget_loss(held)

    async def _lose(self, execution: Execution) -> None:
        if execution.interrupt is not None:
            return  # it knows, and has not come to its end yet
        (run,) = await runs.read_several(self.bus, [execution.run_id])
        if run is not None and run.state.is_cancelled():
            execution.end(FlowRunCancelled(run.id))
            return
        counts.runs_lost += 1
        self.holdings.note_loss((execution.run_id, execution.epoch))
        execution.end(RunLost(execution.run_id))
        _log.warning("flow run %s is not this process's any more", execution.run_id)

    async def _release(self, held: Held) -> None:
        run_id, epoch = held
        end = self.holdings.recorded_end(held)
        if end is not None:
            name, state = end.ending.run_name, end.ending.state
            _log.warning("%s: its end (%s) was lost, and is recorded again", name, state)
            self.keep_again(end)
            return
        (run,) = await runs.read_several(self.bus, [run_id])
        deployment = None if run is None else run.deployment_id
        state = await executions.release(self.bus, run_id, deployment, epoch, self.process)
        if state:
            _log.warning("flow run %s: %s (this process does not execute it)", run_id, state)
        if state == "Scheduled" and deployment is not None:
            await deployments.hint(self.bus, deployment, run_id)
        elif state == "Pending" and run is not None and run.parent_run_id is not None:
            await end_abandoned(self.bus, {run_id: run.parent_run_id})
