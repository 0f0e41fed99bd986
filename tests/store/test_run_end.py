"""Who waits for the end of a run: what tells of it, what hides it, and what does not wake."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from runbus import send_input
from runbus.errors import RunMissing
from runbus.protocol.execution import Ending, Owner
from runbus.store.bus import current_bus
from runbus.store.maintenance.run_end import wait_for_end
from runbus.store.records import executions, runs

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from servers import Server

FOR_EVER = 600.0
"""A poll interval that no test lives to see."""
PATIENCE = 10.0
OWNER = Owner(process="f" * 16, lease="30000 token")
leaves_runs = pytest.mark.keys_without_lifetime


@pytest.fixture(autouse=True)
def long_lease(server: Server, configure: Callable[..., None]) -> None:
    """Who waits looks at the record every third of a lease, too."""
    configure(lease_seconds=3 * FOR_EVER)


async def make(owner: Owner | None = OWNER) -> UUID:
    run_id = uuid4()
    fields = {"name": "n", "flow": "f", **({} if owner else {"deployment": "f/x"})}
    await runs.create(current_bus(), run_id, fields, owner=owner, digits="0" * 8)
    return run_id


async def end(run_id: UUID) -> None:
    run = await runs.read(current_bus(), run_id)
    ending = Ending(
        run_id=run_id, run_name="n", epoch=run.epoch, deployment=None, state="Completed"
    )
    assert (await executions.end(current_bus(), ending))[0] == "ENDED"


async def cancel(run_id: UUID) -> None:
    run = await runs.read(current_bus(), run_id)
    assert await runs.move(current_bus(), run, "Cancelled") is None


def elsewhere(work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Do something on another loop while this one, and all that waits on it, stands still."""
    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    thread.join()


async def waiting(run_id: UUID, poll_interval: float = FOR_EVER) -> asyncio.Task[Any]:
    """Begin to wait, and be told of changes."""
    task = asyncio.create_task(wait_for_end(current_bus(), run_id, poll_interval))
    await asyncio.sleep(0.2)
    return task


@leaves_runs
async def test_an_end_is_heard_of(server: Server) -> None:
    """By who waited before it, and by who begins to wait with what was read before it."""
    run_id = await make()
    task = await waiting(run_id)
    before = await runs.read(current_bus(), run_id)
    await end(run_id)
    assert (await asyncio.wait_for(task, PATIENCE)).state.is_completed()
    late = wait_for_end(current_bus(), run_id, FOR_EVER, before)
    assert (await asyncio.wait_for(late, PATIENCE)).state.is_completed()


@leaves_runs
async def test_the_end_of_a_run_that_never_began_is_heard_of(server: Server) -> None:
    """No process had it: it was cancelled while it waited for a worker."""
    run_id = await make(owner=None)
    task = await waiting(run_id)
    await cancel(run_id)
    assert (await asyncio.wait_for(task, PATIENCE)).state.is_cancelled()


@leaves_runs
async def test_an_end_while_the_connection_is_lost_is_heard_of(server: Server) -> None:
    """The run is looked at again on each new connection."""
    run_id = await make()
    task = await waiting(run_id)
    elsewhere(lambda: end(run_id))
    with server.client() as redis:
        redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert (await asyncio.wait_for(task, PATIENCE)).state.is_completed()


@leaves_runs
async def test_an_end_that_nothing_tells_of_is_found(server: Server) -> None:
    """Its record is changed by hand: it is looked at every `poll_interval` seconds."""
    run_id = await make()
    task = await waiting(run_id, 0.3)
    with server.client() as redis:
        redis.hset(current_bus().keys.run(run_id), "state_name", "Completed")
    assert (await asyncio.wait_for(task, PATIENCE)).state.is_completed()


async def test_who_waits_for_a_run_that_is_lost_is_told(server: Server) -> None:
    """Its record is gone: an error, not a wait for ever."""
    run_id = await make()
    task = await waiting(run_id)
    with server.client() as redis:
        redis.flushall()
    with pytest.raises(RunMissing):
        await asyncio.wait_for(task, PATIENCE)


@leaves_runs
async def test_nothing_but_an_end_wakes_who_waits(server: Server) -> None:
    """Inputs and changes of state are not read by who only wants to know of the end."""
    run_id = await make()
    task = await waiting(run_id)
    with server.client() as redis:
        before = redis.info("commandstats")["cmdstat_hgetall"]["calls"]
        for number in range(50):
            await send_input(number, run_id)
        run = await runs.read(current_bus(), run_id)
        await runs.move(current_bus(), run, "Cancelling")
        await asyncio.sleep(0.2)
        after = redis.info("commandstats")["cmdstat_hgetall"]["calls"]
    assert after - before == 1, "this test's own"
    assert not task.done()
    await end(run_id)
    assert (await asyncio.wait_for(task, PATIENCE)).state.is_completed()
