"""Children: the runs that are parts of another, found again when that one runs again.

A child is known by its parent and the ordinal of the call, so its parent has to make its calls in
the same order each time. One that has completed gives its stored result, if that gives the very
value back; one that was left half-way by a process that died is gone on with, so its pauses keep
their answers; one that ended otherwise, or was called with something else, is begun anew.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_core import from_json

from runbus.background.caller import in_caller
from runbus.errors import UnsupportedType
from runbus.protocol.values import decoder
from runbus.store.maintenance.boot_clock import boot_time
from runbus.store.records import child_runs, executions, runs

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from uuid import UUID

    from runbus.background.lease_holder import LeaseHolder
    from runbus.execution.run_context import RunningFlow
    from runbus.protocol.records import FlowRun
    from runbus.store.bus import Bus


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A child that completed in an earlier execution of its parent."""

    result: object = None
    """What it returned."""


def ordinal_ids(parent: RunningFlow) -> Generator[UUID]:
    """Count a child, and yield the ids of its runs: of its first attempt, its second, and so on."""
    parent.children += 1
    return child_runs.ids_of_call(parent.run_id, parent.children)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildCall:
    """A flow that is called in another one."""

    bus: Bus
    parent: RunningFlow
    fields: Mapping[str, str | bytes]
    """Of the run that it makes, where there is none."""
    holder: LeaseHolder
    result_type: object
    enter: Callable[[FlowRun], RunningFlow]
    """Begins to execute a run here."""

    async def find_or_create(self) -> RunningFlow | Completed:
        """Find the run of this call, or make it, and enter it here.

        Raises `RunLost` if the parent is another process's by now.
        """
        for run_id in ordinal_ids(self.parent):
            found = await self._find_attempt(run_id)
            if found is not None:
                return found
        raise AssertionError("there are always more ids")

    async def _find_attempt(self, run_id: UUID) -> RunningFlow | Completed | None:
        """Find or make one attempt; None for one that has ended, or was another call.

        Whoever sees that the process is dead that had the run may take it from that one at any
        moment: so what is not to be had as it was found is looked at again, until it is the same.
        """
        before: FlowRun | None = None
        while True:
            await self.parent.confirm()
            (run,) = await runs.read_several(self.bus, [run_id])
            if run is not None and (run == before or not await self._is_same_call(run)):
                return None
            if run is not None and run.is_exact:
                # Unless its flow returns something else by now.
                with suppress(ValidationError, UnsupportedType):
                    data = run.state.data or b""
                    result = await in_caller(partial(_decoded, self.result_type, data))
                    return Completed(result=result)
            if run is not None and (run.state.is_final() or run.deployment_id is not None):
                return None
            with self.holder.intent(run_id) as digits:
                taken = await self._take(run_id, run, digits)
                if taken is not None:
                    return self.enter(taken)
            before = run

    async def _is_same_call(self, run: FlowRun) -> bool:
        called_with = from_json(self.fields["parameters"])
        if run.flow_name != self.fields["flow"] or run.parameters != called_with:
            return False
        secrets = self.fields.get("secrets")
        return secrets is None or secrets == await child_runs.secrets_of(self.bus, run.id)

    async def _take(self, run_id: UUID, found: FlowRun | None, digits: str) -> FlowRun | None:
        """Make a run, or take over one that was left; None if that cannot be done as it is."""
        asked_at = boot_time()
        owner = self.holder.owner
        if found is None:
            run = await runs.create(self.bus, run_id, self.fields, owner=owner, digits=digits)
            if not run.epoch.endswith(f"-{digits}"):  # somebody else was faster
                return None
        else:
            run = await executions.adopt(self.bus, found, owner, digits)
        if run is not None:
            self.holder.note_granted(run_id, asked_at)
        return run


def _decoded(result_type: object, data: bytes) -> object:
    return decoder(result_type)(data)


def is_exact(value: object, data: bytes, result_type: object) -> bool:
    """Whether the JSON of a value gives the very value back."""
    try:
        again = decoder(result_type)(data)
        return type(again) is type(value) and bool(again == value)
    except Exception:  # of the value's own code, too: then it is not known
        return False
