"""Runs and pauses as the doors show them: without what their forms mark as secret."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic_core import from_json

from runbus.errors import UnreachableError
from runbus.forms.references import fields_of
from runbus.forms.secrets import VEIL, hidden_names, veiled_json, without_secrets
from runbus.store.bus import current_bus
from runbus.store.records import deployments

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbus.forms.parts import Schema
    from runbus.protocol.records import FlowRun, Pause


def shown_pause(pause: Pause) -> Pause:
    """Return a pause in whose answer the secrets are hidden."""
    return replace(pause, value=veiled_json(pause.schema, pause.value))


async def shown_run(run: FlowRun) -> FlowRun:
    """Return a run in whose parameters the secrets are hidden."""
    (shown,) = await shown_runs([run])
    return shown


async def shown_runs(runs: Iterable[FlowRun]) -> list[FlowRun]:
    """Return runs in whose parameters the secrets are hidden.

    What a flow that was called directly marks as secret was never stored. Where nothing says what a
    deployment's flow marks as secret, as its record is away or gone, each parameter may be one.
    """
    runs = list(runs)
    names = {run.deployment_id for run in runs if run.deployment_id and run.parameters}
    schemas = {name: await _schema(name) for name in names}
    return [_shown(run, schemas) for run in runs]


def _shown(run: FlowRun, schemas: Mapping[str, Schema | None]) -> FlowRun:
    if run.deployment_id is None or not run.parameters:
        return run
    schema = schemas[run.deployment_id]
    if schema is None:
        return replace(run, parameters=dict.fromkeys(run.parameters, VEIL))
    if not hidden_names(schema):
        return run
    shown = without_secrets(schema, dict(run.parameters))
    return replace(run, parameters=shown)  # pyright: ignore[reportArgumentType]


async def _schema(name: str) -> Schema | None:
    served = None
    with suppress(UnreachableError):
        served = await deployments.read_served(current_bus(), name)
    return fields_of(from_json(served.parameters)) if served and served.parameters else None
