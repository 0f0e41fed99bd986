"""How long an `idempotency_key` gives the same run: as long as the run's record is kept."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from owners import claimed, ended

from runbus import get_client, run_deployment
from runbus.client import Client
from runbus.deployments import arun_deployment
from runbus.errors import RightMissing, RunMissing
from runbus.store.bus import current_bus
from runbus.store.records import deployments

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from servers import Server


async def start() -> tuple[UUID, str]:
    """Start a run under the same key each time; return its id and its state."""
    await deployments.register(current_bus(), "f/x", {"flow": "f"})
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


@pytest.mark.parametrize("right", ["xadd", "zadd"])
async def test_a_run_that_could_not_be_made_leaves_nothing(
    server: Server, configure: Any, right: str
) -> None:
    """A user who lacks a right for a while starts it under the same key later."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "some", "on", ">pw", "~*", "&*", "+@all")
        configure(url=server.url.replace("://", "://some:pw@"))
        await deployments.register(current_bus(), "f/x", {"flow": "f"})
        client.execute_command("ACL", "SETUSER", "some", f"-{right}")
        for _ in range(2):
            with pytest.raises(RightMissing):
                await run_deployment("f/x", timeout=0, idempotency_key="order 7")
            assert not client.keys("*:run")
        client.execute_command("ACL", "SETUSER", "some", f"+{right}")
        run_id, state = await start()
        assert state == "Scheduled"
        await _complete(run_id)
        client.execute_command("ACL", "DELUSER", "some")


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


README = Path(__file__).parents[2] / "README.md"


def help_of_the_command() -> str:
    command = [sys.executable, "-m", "runbus", "deployment", "run", "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "read",
    [
        lambda: run_deployment.__doc__,
        lambda: arun_deployment.__doc__,
        lambda: Client.create_flow_run_from_deployment.__doc__,
        help_of_the_command,
        README.read_text,
    ],
    ids=["run_deployment", "arun_deployment", "client", "command line", "README"],
)
def test_how_long_a_key_counts_is_said_where_it_is_passed(read: Callable[[], str]) -> None:
    """Wherever a key may be passed: until when it gives the same run, and what it does then."""
    words = " ".join(read().translate({ord(each): " " for each in "`│*"}).split())
    passages = [each[:300] for each in words.replace("-", "_").split("idempotency_key")[1:]]
    found = next(each for each in passages if "until RUNBUS_RETENTION_SECONDS" in each)
    assert "start" in found.partition("after its end")[2], "another run"
