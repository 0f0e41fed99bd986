"""Deployments: starting runs of flows that are served elsewhere."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING
from uuid import uuid4

from pydantic_core import from_json

from runbus.background.caller import in_caller
from runbus.errors import (
    DeploymentMissing,
    ParametersRefused,
    RunbusError,
    RunExpired,
    RunMissing,
)
from runbus.execution.current_run import current_flow_run
from runbus.execution.run_names import friendly_name
from runbus.execution.subflows import ordinal_ids
from runbus.execution.verbs import verb
from runbus.flow_runs.wait import check_timeout, ended
from runbus.flows import serve
from runbus.protocol.entries import check_text
from runbus.protocol.ids import flow_run_id_for
from runbus.protocol.values import encode
from runbus.store.bus import current_bus
from runbus.store.records import deployments, runs, workers
from runbus.supervision import tasks
from runbus.worker.deployment import Deployment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from uuid import UUID

    from runbus.execution.run_context import RunningFlow
    from runbus.protocol.deployment_info import Served
    from runbus.protocol.json_value import JSONValue
    from runbus.protocol.records import FlowRun
    from runbus.store.bus import Bus

__all__ = ["Deployment", "arun_deployment", "run_deployment", "serve"]
_log = logging.getLogger("runbus.flow_runs")


async def arun_deployment(
    name: str,
    parameters: Mapping[str, JSONValue] | None = None,
    timeout: float | None = None,
    poll_interval: float = 5,
    as_subflow: bool = True,
    flow_run_name: str | None = None,
    idempotency_key: str | None = None,
    tags: Iterable[str] | None = None,
) -> FlowRun:
    """Start a run of the deployment `flow/name` and wait until it has ended.

    `timeout` is how long to wait for its end, in seconds: 0 returns the scheduled run at once, None
    waits for ever; a run that takes longer is returned as it is then. Inside a flow the run is that
    flow's child (`as_subflow`), and is found again when the flow runs again. While no worker serves
    the deployment, a warning says so. One that is waited for and that its server loses (a failover)
    is started again, under the same id; not where it may have ended and expired while this process
    slept (`RunExpired`).

    `idempotency_key` gives the same run for the same key, however often it is started, as long as
    the run's record is kept: until RUNBUS_RETENTION_SECONDS (by default 7 days) after its end. Then
    the same key starts another run.

    Raises `DeploymentMissing` when there is no such deployment, and `ParametersRefused`, which says
    of each parameter what is wrong, for those that do not fit the flow's annotations. While the
    server that would know is away and the run's own is not (in a cluster), the run is made without
    asking: after a second, as a run of the flow that the deployment's name begins with.
    """
    check_timeout(timeout)
    bus = current_bus()
    served, checked = await _served_for(bus, check_text("name", name), parameters)
    parent = current_flow_run() if as_subflow else None
    run_id = _run_id(name, idempotency_key, parent)
    fields: dict[str, str | bytes] = {
        "name": check_text("flow_run_name", flow_run_name or friendly_name()),
        "flow": served.flow,
        "deployment": name,
        "parameters": checked,
        "tags": encode(sorted(tags or ())),
    }
    if parent is not None:
        fields["parent"] = str(parent.run_id)
    run = await _start(bus, name, run_id, fields)
    if timeout == 0:
        return run
    deadline = None if timeout is None else bus.loop.time() + timeout
    with tasks.started(_tell_unserved(bus, run)):
        while True:
            left = None if deadline is None else max(0, deadline - bus.loop.time())
            try:
                return await ended(run_id, left, poll_interval, run)
            except TimeoutError:
                return await runs.read(bus, run_id)
            except RunExpired:
                raise
            except RunMissing:
                _log.warning("%s is started again: its server has lost it", run.name)
                run = await _start(bus, name, run_id, fields)


async def _start(bus: Bus, name: str, run_id: UUID, fields: dict[str, str | bytes]) -> FlowRun:
    run = await runs.create(bus, run_id, fields)
    await deployments.hint(bus, name, run_id)
    return run


async def _tell_unserved(bus: Bus, run: FlowRun) -> None:
    with suppress(RunbusError):
        for seconds in _looks_for_workers(bus.settings.lease_seconds):
            if run.state.name != "Scheduled" or run.deployment_id is None:
                return
            if await workers.is_served(bus, run.deployment_id) is False:
                _log.warning(
                    "no worker serves %s now: %s waits until one does", run.deployment_id, run.name
                )
                return
            await asyncio.sleep(seconds)
            run = await runs.read(bus, run.id)


def _looks_for_workers(lease_seconds: float) -> Iterator[float]:
    """Yield how long (seconds) to rest after each look for who serves a deployment.

    A worker that has left is soon listed no more, and one that was killed after `LISTED_LEASES`.
    """
    yield workers.SERVED_SECONDS
    yield from repeat(lease_seconds / 2, 2 * (workers.LISTED_LEASES + 1))


def run_deployment(
    name: str,
    parameters: Mapping[str, JSONValue] | None = None,
    timeout: float | None = None,
    poll_interval: float = 5,
    as_subflow: bool = True,
    flow_run_name: str | None = None,
    idempotency_key: str | None = None,
    tags: Iterable[str] | None = None,
) -> FlowRun:
    """Start a run of the deployment `flow/name` and wait until it has ended.

    See `arun_deployment`. `idempotency_key` gives the same run until RUNBUS_RETENTION_SECONDS after
    its end; then the same key starts another run.
    """
    options = (timeout, poll_interval, as_subflow, flow_run_name, idempotency_key, tags)
    return verb("run_deployment", arun_deployment, name, parameters, *options)


def _run_id(name: str, idempotency_key: str | None, parent: RunningFlow | None) -> UUID:
    if idempotency_key is not None:
        return flow_run_id_for(f"deployment {name}", check_text("idempotency_key", idempotency_key))
    if parent is None:
        return uuid4()
    return next(ordinal_ids(parent))


async def _served_for(
    bus: Bus, name: str, parameters: Mapping[str, JSONValue] | None
) -> tuple[Served, bytes]:
    served = await deployments.read_served(bus, name)
    try:
        return await _checked(name, served, parameters)
    except ParametersRefused:
        # What is remembered refuses nothing: another version may be served since.
        newest = await deployments.read_served(bus, name, newest=True)
        if newest == served:
            raise
        return await _checked(name, newest, parameters)


async def _checked(
    name: str, served: Served | None, parameters: Mapping[str, JSONValue] | None
) -> tuple[Served, bytes]:
    if served is None:
        raise DeploymentMissing(name)
    return served, await in_caller(partial(_parameters, name, served, parameters))


def _parameters(name: str, served: Served, parameters: Mapping[str, JSONValue] | None) -> bytes:
    # Late: few start runs.
    from runbus.forms.normal_form import write_for
    from runbus.forms.parameters import checked_parameters

    form = from_json(served.parameters) if served.parameters else None
    written = write_for(form, dict(parameters or {}), encode)
    data, problems = checked_parameters(served.parameters, written)
    if problems:
        raise ParametersRefused(deployment=name, problems=problems)
    return data
