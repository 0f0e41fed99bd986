"""What is served, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbus.protocol.fields import json_in, number_in, text_in, time_in

if TYPE_CHECKING:
    from datetime import datetime

    from runbus.protocol.fields import Fields
    from runbus.protocol.json_value import JSONObject, JSONValue

_NO_FIELDS: JSONObject = {}
_NO_ITEMS: list[JSONValue] = []


@dataclass(frozen=True, kw_only=True)
class DeploymentInfo:
    """A deployment: a flow that some workers serve under a name."""

    name: str
    """`flow/name`."""
    flow_name: str
    description: str | None
    parameters: JSONObject
    """The JSON Schema of the flow's parameters; empty when they have none."""
    workers: int | None
    """How many workers serve it now; None while their server does not answer."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """What who starts a run of a deployment has to know of it."""

    flow: bytes
    """The name of the flow."""
    parameters: bytes = b""
    """The JSON Schema of its parameters, as JSON; empty where it is not known."""


@dataclass(frozen=True, kw_only=True)
class WorkerInfo:
    """A process that serves deployments."""

    process: str
    """Its name among those that execute runs."""
    host: str
    pid: int
    deployments: tuple[str, ...]
    """The names of what it serves."""
    started: datetime | None
    executing: int
    """How many runs it has."""


def read_deployment(name: str, fields: Fields, workers: int | None) -> DeploymentInfo | None:
    """Read a deployment; None where there is none."""
    if "flow" not in fields:
        return None
    return DeploymentInfo(
        name=name,
        flow_name=text_in(fields, "flow") or "",
        description=text_in(fields, "description"),
        parameters=json_in(fields, "parameters", _NO_FIELDS),
        workers=workers,
    )


def read_worker(process: str, fields: Fields, executing: int) -> WorkerInfo | None:
    """Read a worker; None where there is none."""
    if "pid" not in fields:
        return None
    return WorkerInfo(
        process=process,
        host=text_in(fields, "host") or "",
        pid=number_in(fields, "pid"),
        deployments=tuple(map(str, json_in(fields, "deployments", _NO_ITEMS))),
        started=time_in(fields, "started"),
        executing=executing,
    )
