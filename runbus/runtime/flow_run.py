"""The current flow run, attribute by attribute: `flow_run.id`, `flow_run.name`, ….

Each is read when it is asked for. Outside of a flow it is None, or empty; `get_run_context` raises
there instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbus.execution.current_run import current_flow_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbus.execution.run_context import FlowRunContext

id: str | None  # noqa: A001  (as in Prefect)
"""The run's id."""
name: str | None
"""The run's name, such as `brave-otter`."""
flow_name: str | None
"""The flow's name."""
parameters: Mapping[str, Any]
"""What the flow was called with, as the flow sees it."""
parent_flow_run_id: str | None
"""The id of the run that it was started in; None if there is none."""
deployment_id: str | None
"""The deployment that the run belongs to, `flow/name`; None if the flow was called directly."""
tags: list[str]
"""The tags that the run was started with."""

__all__ = [
    "deployment_id",
    "flow_name",
    "id",
    "name",
    "parameters",
    "parent_flow_run_id",
    "tags",
]

_OUTSIDE: dict[str, object] = {"parameters": {}, "tags": []}


def __getattr__(attribute: str) -> object:
    if attribute not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {attribute!r}")
    context = current_flow_run()
    if context is None:
        return _OUTSIDE.get(attribute)
    return _of(context)[attribute]


def _of(context: FlowRunContext) -> dict[str, object]:
    run = context.flow_run
    parent = run.parent_run_id
    return {
        "id": str(run.id),
        "name": run.name,
        "flow_name": run.flow_name,
        "parameters": dict(context.parameters),
        "parent_flow_run_id": None if parent is None else str(parent),
        "deployment_id": run.deployment_id,
        "tags": list(run.tags),
    }


def __dir__() -> list[str]:
    return __all__
