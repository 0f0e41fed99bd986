"""The server's clock jumps: the dead are told from the living all the same.

Leases end by the server's clock. Set back, it would let them go on for hours; set
forward, it ends all of them at once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from clocks import LIBFAKETIME, ClockedServer
from faults import LEASE_SECONDS, PATIENCE, result_of, started, state_of, until

from runbus import flow, get_client, get_run_context, receive_input, send_input
from runbus.background.bridge import run as block
from runbus.settings import temporary_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faults import StartWorker
    from forked import Process

    from runbus.client import WorkerInfo

pytestmark = pytest.mark.skipif(LIBFAKETIME is None, reason="libfaketime is not installed")

HOURS = 3 * 3600


@pytest.fixture
def server() -> Iterator[ClockedServer]:
    """A server whose clock can be set: Valkey's, as Redis does not start under libfaketime."""
    with (
        ClockedServer.start("valkey") as server,
        temporary_settings(url=server.url, lease_seconds=LEASE_SECONDS),
    ):
        yield server


def executions_of(run_id: UUID) -> int:
    """How many executions of a run have begun."""
    epoch = block(lambda: get_client().read_flow_run(run_id)).epoch
    return int(epoch.partition("-")[0])


def serve_two(start_worker: StartWorker) -> list[Process]:
    """Start two workers, and wait until they work."""
    processes = [start_worker("spin"), start_worker("spin")]
    until(lambda: len(workers()) == 2)
    return processes


def workers() -> list[WorkerInfo]:
    return block(lambda: get_client().read_workers())


def spinning() -> UUID:
    """Start a run that goes on until it is told to end."""
    observer = uuid4()
    run_id = started("spin/x", {"observer": str(observer)})
    assert receive_input(str, flow_run_id=observer, timeout=PATIENCE).next() == "spinning"
    return run_id


def test_the_clock_goes_back_after_a_process_died(
    server: ClockedServer, start_worker: StartWorker
) -> None:
    """Its run is taken as soon as without the jump, by a process that was there before it."""
    processes = {worker.pid: worker for worker in serve_two(start_worker)}
    run_id = spinning()
    (owner,) = [each.pid for each in workers() if each.executing]
    processes[owner].kill()
    processes[owner].wait()
    server.jump(-HOURS)
    until(lambda: executions_of(run_id) > 1)
    send_input("now", run_id, key_prefix="end")
    assert result_of(run_id) == "ended"


def test_the_clock_goes_forward_and_everybody_lives(
    server: ClockedServer, start_worker: StartWorker
) -> None:
    """Each lease ends at once, and no run is taken from a process that renews it."""
    ids: list[UUID] = []

    @flow
    async def bus() -> str:
        ids.append(get_run_context().run_id)
        return await receive_input(str, timeout=PATIENCE).next()

    async def called_directly() -> str:
        calling = asyncio.create_task(bus())
        await asyncio.to_thread(serve_two, start_worker)
        run_id = await asyncio.to_thread(spinning)
        for jump in (HOURS, 2 * HOURS):
            await asyncio.sleep(LEASE_SECONDS)  # who has just begun would know of no jump
            server.jump(jump)
        await asyncio.sleep(LEASE_SECONDS)
        assert await asyncio.to_thread(executions_of, run_id) == 1
        await send_input("now", run_id, key_prefix="end")
        assert await asyncio.to_thread(result_of, run_id) == "ended"
        await send_input("all is well", ids[0])
        return await calling

    assert asyncio.run(called_directly()) == "all is well"
    assert state_of(ids[0]) == "Completed"
