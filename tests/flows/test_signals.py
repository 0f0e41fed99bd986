"""How a worker ends: by signals, and by cancellation of the task that serves."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from faults import LEASE_SECONDS, PATIENCE, result_of, started, state_of, until
from lasting import Diary

from runbus import cancel_flow_run, flow, get_client, get_run_context, run_deployment, serve
from runbus.background.bridge import run as block
from runbus.errors import DeploymentMissing
from runbus.worker.worker import GRACE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from faults import StartProcess
    from servers import Server

SOON = GRACE_SECONDS / 3
# Signals are the process's own affair, whichever engine it talks to.
pytestmark = pytest.mark.parametrize("server", ["valkey"], indirect=True)


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path)


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """What the worker says."""
    return tmp_path / "said"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", ["hold", "sync-hold"])
def test_the_second_signal_ends_a_worker_at_once(
    server: Server, start_process: StartProcess, diary: Diary, said: Path, name: str, number: int
) -> None:
    """The first says what it waits for, and how long; others go on with what it executed."""
    worker = start_process("lasting.py", "0", name, said=said)
    run_id = started(f"{name}/x", diary.given)
    until(lambda: diary.count("begins") == 1)
    worker.send_signal(number)
    until(lambda: f"1 run may go on for {GRACE_SECONDS:g} s" in said.read_text())
    worker.send_signal(number)
    began = time.monotonic()
    assert worker.wait(SOON) == 128 + number
    assert time.monotonic() - began < GRACE_SECONDS / 10
    assert "ended at once" in said.read_text()
    start_process("lasting.py", "0", name)
    until(lambda: diary.count("begins") == 2)
    diary.gate.touch()
    assert result_of(run_id) == "held"


@pytest.mark.parametrize("where", ["loop", "thread"])
def test_a_signal_ends_all_workers_of_a_process(
    server: Server, start_process: StartProcess, diary: Diary, where: str
) -> None:
    """Two that are served on one event loop, and two in threads."""
    worker = start_process("two_workers.py", where)
    run_ids = [started(f"{name}/x", diary.given) for name in ("ask", "listen")]
    until(lambda: diary.count("begins") == 2)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(SOON) == 0
    for run_id in run_ids:
        assert state_of(run_id) == "Scheduled"
        cancel_flow_run(run_id)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_worker_that_waits_for_its_server(
    own_server: Server, start_process: StartProcess, said: Path, number: int
) -> None:
    """It does not try for `retry_seconds` first."""
    own_server.freeze()
    worker = start_process("lasting.py", "0", "ask", said=said, url=own_server.url)
    until(lambda: "no connection" in said.read_text())
    worker.send_signal(number)
    assert worker.wait(SOON) == 0
    assert "ended before ask/x was served" in said.read_text()


def test_the_grace_time_ends_for_a_flow_that_blocks_its_loop(
    server: Server, start_process: StartProcess, diary: Diary, said: Path
) -> None:
    """What the worker executes goes back, though nothing comes through on the worker's own loop."""
    worker = start_process("blocked_worker.py", said=said)
    run_id = started("block/x", diary.given)
    until(lambda: diary.count("begins") == 1)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) == 1
    assert state_of(run_id) == "Scheduled"
    assert "ended: a flow blocks the event loop" in said.read_text()
    cancel_flow_run(run_id)


@pytest.mark.parametrize("name", ["listen", "ask"])
def test_a_worker_whose_run_only_waits_ends_quickly(
    server: Server, start_process: StartProcess, diary: Diary, said: Path, name: str
) -> None:
    """It has nothing to wait for; its run goes back, and on elsewhere."""
    worker = start_process("lasting.py", "0", name, said=said)
    run_id = started(f"{name}/x", diary.given)
    until(lambda: diary.count("begins") == 1)
    until(lambda: block(lambda: is_waiting(run_id, name)))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(SOON) == 0
    assert state_of(run_id) == "Scheduled"
    assert "may go on" not in said.read_text()
    start_process("lasting.py", "0", name)
    until(lambda: diary.count("begins") == 2)
    cancel_flow_run(run_id)
    until(lambda: state_of(run_id) == "Cancelled")


async def is_waiting(run_id: UUID, name: str) -> bool:
    state = (await get_client().read_flow_run(run_id)).state.name
    await asyncio.sleep(LEASE_SECONDS)  # that its process knows, nobody is told
    return name == "listen" or state == "Paused"


async def test_a_cancelled_serve_ends(server: Server) -> None:
    """It hands back what it executes, and takes nothing any more."""
    executing: list[UUID] = []
    ended = asyncio.Event()

    @flow
    async def wait() -> None:
        executing.append(get_run_context().run_id)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    name = uuid4().hex[:8]
    serving = asyncio.create_task(as_coroutine(serve(wait.to_deployment(name))))
    run_id = await start_when_served(f"wait/{name}")
    async with asyncio.timeout(PATIENCE):
        while not executing:
            await asyncio.sleep(0.01)
    serving.cancel()
    async with asyncio.timeout(SOON):
        with pytest.raises(asyncio.CancelledError):
            await serving
        await ended.wait()
    later = await run_deployment(f"wait/{name}", timeout=0)
    await asyncio.sleep(LEASE_SECONDS)  # in which it would be claimed
    for each in (run_id, later.id):
        assert (await get_client().read_flow_run(each)).state.name == "Scheduled"
        await cancel_flow_run(each)
    assert executing == [run_id]


async def as_coroutine(pending: object) -> None:
    await pending


async def start_when_served(deployment: str) -> UUID:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return (await run_deployment(deployment, timeout=0)).id
            except DeploymentMissing:
                await asyncio.sleep(0.01)
