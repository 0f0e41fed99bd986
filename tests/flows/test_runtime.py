"""`runbus.runtime`: what code may ask about the run that it is part of."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from runbus import flow, get_run_context
from runbus.runtime import flow_run

if TYPE_CHECKING:
    from servers import Server


def told() -> dict[str, Any]:
    return {name: getattr(flow_run, name) for name in dir(flow_run)}


OUTSIDE = {
    **dict.fromkeys(["id", "name", "flow_name", "parent_flow_run_id", "deployment_id"]),
    "parameters": {},
    "tags": [],
}


def test_runs_know_who_they_are(server: Server) -> None:
    """Each of two flows, one within the other, is told about itself; outside there is nothing."""

    @flow(flow_run_name="the-child")
    def child(number: int) -> tuple[dict[str, Any], str]:
        return told(), str(get_run_context().run_id)

    @flow(flow_run_name="the-parent")
    async def parent() -> tuple[dict[str, Any], dict[str, Any], str]:
        before = await asyncio.to_thread(told)
        return (before, *child("7"))  # pyright: ignore[reportArgumentType]

    assert told() == OUTSIDE
    of_parent, of_child, child_id = asyncio.run(parent())
    assert (of_parent["name"], of_parent["parent_flow_run_id"]) == ("the-parent", None)
    assert of_child == {
        "id": child_id,
        "name": "the-child",
        "flow_name": "child",
        "parameters": {"number": 7},
        "parent_flow_run_id": of_parent["id"],
        "deployment_id": None,
        "tags": [],
    }
    assert told() == OUTSIDE


def test_what_it_does_not_know() -> None:
    """A name that it does not have is an error, as of any module."""
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        getattr(flow_run, "colour")  # noqa: B009
