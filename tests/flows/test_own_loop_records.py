"""An execution's end is recorded from its own loop, and from the background where that fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from runbus import cancel_flow_run, flow, get_client, get_run_context
from runbus.errors import FlowRunCancelled
from runbus.store.maintenance import kept_ends

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from servers import Server

PATIENCE = 10.0
STUCK_SECONDS = 5.0


@flow
async def identify() -> str:
    return str(get_run_context().run_id)


async def _is_refused(*_: Any) -> None:
    await asyncio.sleep(0)


async def _is_stuck(*_: Any) -> None:
    await asyncio.sleep(STUCK_SECONDS)


@pytest.mark.parametrize("own_try", [_is_refused, _is_stuck])
async def test_an_end_that_its_own_loop_does_not_record(
    server: Server, monkeypatch: pytest.MonkeyPatch, own_try: Callable[..., Any]
) -> None:
    """What is refused there is tried on at once, and what is stuck soon, in the background."""
    monkeypatch.setattr(kept_ends, "try_once", own_try)
    task = asyncio.ensure_future(identify())
    async with asyncio.timeout(STUCK_SECONDS / 2):
        while not (found := await get_client().read_flow_runs(state="Completed")):
            await asyncio.sleep(0.02)
    assert await asyncio.wait_for(task, PATIENCE) == str(found[0].id)


async def test_what_is_said_in_the_first_moment_is_heard(server: Server) -> None:
    """Nobody listens for a run that has only just begun; what it was told it hears then."""
    begun: asyncio.Future[UUID] = asyncio.get_running_loop().create_future()

    @flow
    async def wait() -> None:
        begun.set_result(get_run_context().run_id)
        await asyncio.sleep(PATIENCE)

    task = asyncio.ensure_future(wait())
    await cancel_flow_run(await begun)
    with pytest.raises(FlowRunCancelled):
        await asyncio.wait_for(task, PATIENCE / 2)
