"""Deployments as a worker has them: flows under names by which others can start them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pydantic_core import to_json

from runbus.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbus.execution.call import FlowCall
    from runbus.protocol.json_value import JSONObject, JSONValue


class Servable(Protocol):
    """What a worker asks of a flow that it serves."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str | None: ...
    @property
    def is_async(self) -> bool: ...

    def parameters_schema(self) -> JSONObject:
        """Return the JSON Schema of what the flow is called with."""
        ...

    def prepare_stored(
        self, parameters: Mapping[str, JSONValue], run_name: str = "", /
    ) -> FlowCall:
        """Make ready what a call with stored parameters does. Raises where they do not fit."""
        ...


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A flow under a name by which others can start it."""

    flow: Servable
    name: str
    """`flow/deployment`."""
    limit: int | None = None
    """How many of its runs execute at once in one worker."""

    def fields(self) -> dict[str, str | bytes]:
        """Return what is stored of it."""
        return {
            "flow": self.flow.name,
            "description": self.flow.description or "",
            "parameters": to_json(self.flow.parameters_schema()),
        }


def check_served(served: tuple[Deployment, ...], limit: int | None) -> None:
    """Raise `InvalidArgument` for what cannot be served together."""
    if not served:
        raise InvalidArgument("deployments", served, "pass at least one: some_flow.to_deployment()")
    names: set[str] = set()
    for each in served:
        if not isinstance(each, Deployment):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument("deployments", each, "pass some_flow.to_deployment(name)")
        if each.name in names:
            raise InvalidArgument("deployments", each.name, "two flows have this name: change one")
        names.add(each.name)
        _check_limit(each.limit)
    _check_limit(limit)


def _check_limit(limit: object) -> None:
    is_count = isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1
    if limit is not None and not is_count:
        raise InvalidArgument("limit", limit, "pass 1 or more, or None")
