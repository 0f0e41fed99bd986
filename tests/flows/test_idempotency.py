"""How long an `idempotency_key` gives the same run: as long as the run's record is kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from owners import claimed, ended

from runbus import get_client, run_deployment
from runbus.errors import RunMissing
from runbus.store import bus, deployments

if TYPE_CHECKING:
    from uuid import UUID

    from servers import Server


async def start() -> tuple[UUID, str]:
    """Start a run under the same key each time; return its id and its state."""
    await deployments.register(bus.current(), "f/x", {"flow": "f"})
    run = await run_deployment("f/x", timeout=0, idempotency_key="order 7")
    return run.id, run.state.name


async def test_a_key_gives_the_same_run_until_its_record_expires(
    server: Server, configure: Any
) -> None:
    """One that waits for longer than the retention, or has just ended, is found; then no more."""
    configure(retention_seconds=1)
    run_id, state = await start()
    assert state == "Scheduled"
    await asyncio.sleep(1.5)
    assert await start() == (run_id, "Scheduled"), "what has not ended is kept"
    await _complete(run_id)
    assert await start() == (run_id, "Completed")
    async with asyncio.timeout(10):
        while await _is_there(run_id):
            await asyncio.sleep(0.05)
    assert await start() == (run_id, "Scheduled")
    await _complete(run_id)


async def _complete(run_id: UUID) -> None:
    run = await claimed(run_id, "one")
    assert run is not None
    assert await ended(run, "Completed") == ("ENDED", "Completed")


async def _is_there(run_id: UUID) -> bool:
    try:
        await get_client().read_flow_run(run_id)
    except RunMissing:
        return False
    return True
