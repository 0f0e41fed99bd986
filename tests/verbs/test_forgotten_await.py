"""Results that nobody awaited: whatever is done with one says so."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from runbus import (
    flow,
    get_client,
    run_deployment,
    wait_for_flow_run,
)
from runbus.background.bridge import run as block
from runbus.blocks.system import JSON
from runbus.errors import MissingAwait
from runbus.variables import Variable

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers import Server

VERBS: list[Callable[[], Any]] = [
    lambda: run_deployment("shop/x"),
    lambda: wait_for_flow_run("00000000-0000-0000-0000-000000000000"),
    lambda: JSON.load("colours"),
    lambda: Variable.get("colour"),
]
USES: list[Callable[[Any], object]] = [
    lambda result: result.id,
    lambda result: result.state.name,
    lambda result: result.value,
    lambda result: result["name"],
    lambda result: result.upper(),
    lambda result: result - 1,
    lambda result: 1 * result,
    lambda result: -result,
    bool,
]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("verb", VERBS)
async def test_it_is_used_as_the_value(verb: Callable[[], Any], use: Callable[[Any], Any]) -> None:
    """Whatever is asked of it, the error says `await`."""
    with pytest.raises(MissingAwait, match="write `await"):
        use(verb())


async def test_others_may_look_at_it(valkey: Server) -> None:
    """It has no attribute that it does not have, and is a coroutine for those who run some."""
    result: Any = Variable.get("colour", "red")
    assert not hasattr(result, "colour")
    assert not hasattr(result, "__deepcopy__")
    assert not hasattr(result, "_ipython_display_")
    assert inspect.isawaitable(result)
    assert await asyncio.create_task(result) == "red"


@flow
async def child(number: int) -> int:
    await asyncio.sleep(0)
    return number + 1


def test_a_sync_flow_runs_an_async_one(valkey: Server) -> None:
    """It gets the value by `asyncio.run`; the child is a run of its own."""

    @flow
    def outer() -> int:
        return asyncio.run(child(1))  # type: ignore[arg-type]

    assert outer() == 2
    runs = block(lambda: get_client().read_flow_runs())
    (parent,) = [run for run in runs if run.flow_name == "outer"]
    (made,) = [run for run in runs if run.flow_name == "child"]
    assert made.parent_run_id == parent.id
    assert made.state.name == "Completed"


USED: list[Callable[[], Any]] = [
    lambda: child(1) + 1,  # type: ignore[operator]
    lambda: child(1).real,  # type: ignore[attr-defined]
    lambda: None if child(1) else 1,
]


@pytest.mark.parametrize("use", USED)
def test_a_sync_flow_uses_an_async_one_as_its_value(valkey: Server, use: Callable[[], Any]) -> None:
    """The error says what gives the value."""

    @flow
    def outer() -> Any:
        return use()

    with pytest.raises(MissingAwait, match=r"asyncio\.run\(child\(…\)\)"):
        outer()


def test_a_sync_flow_drops_an_async_one(valkey: Server) -> None:
    """Its run fails: what it called was not done."""

    @flow
    def outer() -> None:
        child(1)

    with pytest.raises(MissingAwait, match=r"asyncio\.run\(child\(…\)\)"):
        outer()
    (run,) = block(lambda: get_client().read_flow_runs())
    assert run.state.name == "Failed"
    assert run.state.message.startswith("MissingAwait: flow child is async")
