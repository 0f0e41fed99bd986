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
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import from_json

from runbus.caller import in_caller
from runbus.errors import UnsupportedType
from runbus.protocol.values import decoder
from runbus.store import child_runs, runs

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from uuid import UUID

    from runbus.flow_run_context import FlowRunContext
    from runbus.protocol.records import FlowRun
    from runbus.store.bus import Bus


@dataclass(frozen=True, kw_only=True)
class Found:
    """What there is of a child: a run to execute, or one that has completed."""

    run: FlowRun
    has_completed: bool = False
    result: Any = None
    """What it returned."""


def ordinal_ids(parent: FlowRunContext) -> Generator[UUID]:
    """Count a child, and yield the ids of its runs: of its first attempt, its second, and so on."""
    parent.children += 1
    return child_runs.ids_of_call(parent.run_id, parent.children)


async def find_or_create(
    bus: Bus,
    parent: FlowRunContext,
    fields: Mapping[str, str | bytes],
    process: str,
    result_type: Any,
) -> Found:
    """Find the run of a flow that is called in another one, or make it, for this process.

    Raises `RunLost` if the parent is another process's by now.
    """
    for run_id in ordinal_ids(parent):
        await parent.confirm()
        (run,) = await runs.read_several(bus, [run_id])
        if run is None:
            return Found(run=await runs.create(bus, run_id, fields, owner=process))
        if not _is_same_call(run, fields):
            continue
        if run.is_exact:
            # Unless its flow returns something else by now.
            with suppress(ValidationError, UnsupportedType):
                result = await in_caller(partial(_decoded, result_type, run.state.data or b""))
                return Found(run=run, has_completed=True, result=result)
        is_left = not run.state.is_final() and run.deployment_id is None
        if is_left and await runs.adopt(bus, run_id, process, run.epoch):
            return Found(run=await runs.read(bus, run_id))
    raise AssertionError("there are always more ids")


def _decoded(result_type: Any, data: bytes) -> Any:
    return decoder(result_type)(data)


def _is_same_call(run: FlowRun, fields: Mapping[str, str | bytes]) -> bool:
    return run.flow_name == fields["flow"] and run.parameters == from_json(fields["parameters"])


def is_exact(value: Any, data: bytes, result_type: Any) -> bool:
    """Whether the JSON of a value gives the very value back."""
    try:
        again = decoder(result_type)(data)
        return type(again) is type(value) and bool(again == value)
    except Exception:  # of the value's own code, too: then it is not known
        return False
