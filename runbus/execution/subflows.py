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


async def find_or_create(
    bus: Bus,
    parent: RunningFlow,
    fields: Mapping[str, str | bytes],
    holder: LeaseHolder,
    result_type: object,
    enter: Callable[[FlowRun], RunningFlow],
) -> RunningFlow | Completed:
    """Find the run of a flow that is called in another one, or make it, and `enter` it here.

    Raises `RunLost` if the parent is another process's by now.
    """
    for run_id in ordinal_ids(parent):
        await parent.confirm()
        (run,) = await runs.read_several(bus, [run_id])
        if run is not None and not _is_same_call(run, fields):
            continue
        if run is not None and run.is_exact:
            # Unless its flow returns something else by now.
            with suppress(ValidationError, UnsupportedType):
                result = await in_caller(partial(_decoded, result_type, run.state.data or b""))
                return Completed(result=result)
        with holder.intent(run_id) as digits:
            taken = await _take(bus, holder, run_id, run, fields, digits)
            if taken is not None:
                return enter(taken)
    raise AssertionError("there are always more ids")


def _decoded(result_type: object, data: bytes) -> object:
    return decoder(result_type)(data)


async def _take(
    bus: Bus,
    holder: LeaseHolder,
    run_id: UUID,
    found: FlowRun | None,
    fields: Mapping[str, str | bytes],
    digits: str,
) -> FlowRun | None:
    """Make a run, or take over one that was left; None when neither is to be had."""
    asked_at = boot_time()
    if found is None:
        run = await runs.create(bus, run_id, fields, owner=holder.owner, digits=digits)
        if not run.epoch.endswith(f"-{digits}"):  # somebody else was faster
            return None
    elif found.state.is_final() or found.deployment_id is not None:
        return None
    else:
        run = await executions.adopt(bus, found, holder.owner, digits)
    if run is not None:
        holder.note_granted(run_id, asked_at)
    return run


def _is_same_call(run: FlowRun, fields: Mapping[str, str | bytes]) -> bool:
    return run.flow_name == fields["flow"] and run.parameters == from_json(fields["parameters"])


def is_exact(value: object, data: bytes, result_type: object) -> bool:
    """Whether the JSON of a value gives the very value back."""
    try:
        again = decoder(result_type)(data)
        return type(again) is type(value) and bool(again == value)
    except Exception:  # of the value's own code, too: then it is not known
        return False
