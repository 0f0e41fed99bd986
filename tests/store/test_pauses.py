"""Pauses in the store: what the scripts answer where nobody expects to ask."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

import pytest
from owners import created

from runbus import get_client, resume_flow_run
from runbus.errors import NotPaused, RunMissing
from runbus.store.bus import current_bus
from runbus.store.records import pause_opening, pauses, runs
from runbus.store.records.pause_opening import Form

if TYPE_CHECKING:
    from servers import Server


async def test_a_pause_that_is_gone_cannot_expire(server: Server) -> None:
    """Its keys were deleted by hand, or have ended their lifetime."""
    with pytest.raises(RunMissing):
        await pauses.expire(current_bus(), uuid4(), "1", 1)


@pytest.mark.parametrize(("state", "goes_on"), [("Paused", "Running"), ("Suspended", "Scheduled")])
async def test_an_answer_after_a_deadline_that_nobody_has_judged(
    server: Server, state: Literal["Paused", "Suspended"], goes_on: str
) -> None:
    """Its process stands still, or it has none: the answer itself finds the time to be over."""
    bus, run_id = current_bus(), uuid4()
    run = await created(run_id, {"flow": "f", "deployment": "f/x"}, "nobody")
    form = Form(schema=b'{"type": "object"}')
    await pause_opening.open_pause(
        bus, run_id, "1", form, timeout=0.05, retry=0, epoch=run.epoch, state=state
    )
    await asyncio.sleep(0.06)
    with pytest.raises(NotPaused, match="expired"):
        await resume_flow_run(run_id, {})
    pause = await pauses.read(bus, run_id, "1")
    assert pause is not None
    assert pause.state == "expired"
    found = await get_client().read_flow_run(run_id)
    assert found.state.name == goes_on, "the flow learns of it when it goes on"
    await runs.move(bus, run, "Cancelled")
