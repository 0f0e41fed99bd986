"""A failover that loses the last writes: what the server says goes back, and runs go on.

What a promoted replica has missed is undone here by hand, on a server that otherwise stays.
"""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Any

from faults import PATIENCE, answer, result_of, started, state_of
from faults import until as until_so

from runbus import (
    cancel_flow_run,
    flow,
    get_client,
    get_run_context,
    pause_flow_run,
    resume_flow_run,
    run_deployment,
)
from runbus.background.bridge import run as block
from runbus.errors import NotPaused, RunMissing
from runbus.protocol.keys import Keys, tag
from runbus.store.bus import current_bus
from runbus.store.records import child_runs, deployments
from runbus.store.records.answer_wait import AnswerWait

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    import pytest
    from faults import StartProcess, StartWorker
    from redis import Redis
    from servers import Server

    from runbus.protocol.records import FlowRun


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_a_pause_that_is_lost_is_asked_once_more(server: Server) -> None:
    """Also where nothing tells of that, but a word about another pause, and its own absence."""
    ids: list[UUID] = []

    @flow
    async def ask() -> int:
        ids.append(get_run_context().run_id)
        return await pause_flow_run(int, timeout=PATIENCE)

    async def answer(value: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await resume_flow_run(ids[0], {"value": value})
                except NotPaused:
                    await asyncio.sleep(0.01)

    asking = asyncio.create_task(ask())
    with server.client() as client:
        await until(lambda: ids and client.exists(current_bus().keys.pause(ids[0], "1")))
        lose_pause(client, ids[0])
    await answer(5)
    assert await asking == 5


def lose_pause(client: Redis, run_id: UUID) -> None:
    """Take back that a run's first pause was opened, in one step."""
    keys = current_bus().keys
    with client.pipeline(transaction=True) as undo:
        undo.hset(keys.run(run_id), mapping={"state_name": "Running", "state_type": "RUNNING"})
        undo.hdel(keys.run(run_id), "pause")
        undo.delete(keys.pause(run_id, "1"))
        undo.hdel(keys.streams(run_id), "pause:1")
        undo.zrem(keys.pending(tag(run_id)), str(run_id))
        undo.xadd(keys.resume(run_id), {"pause": "an earlier one", "value": "7"})
        undo.execute()


async def test_a_pause_that_is_lost_before_it_is_waited_in(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look for its answer is at the new primary: it is asked once more."""
    ids: list[UUID] = []
    lost, wait = asyncio.Event(), AnswerWait.answered

    async def lose_first(waiting: AnswerWait) -> Any:
        with server.client() as client:
            lose_pause(client, ids[0])
            client.delete(current_bus().keys.resume(ids[0]))  # nothing there tells of it
            client.execute_command("CLIENT", "KILL", "TYPE", "normal")
        bus = current_bus()
        tracking = bus.trackings.of(bus.keys.resume(ids[0]))
        while tracking.connection.live is not None:
            await asyncio.sleep(0)
        lost.set()
        return await wait(waiting)

    @flow
    async def ask() -> int:
        ids.append(get_run_context().run_id)
        return await pause_flow_run(int, timeout=PATIENCE)

    monkeypatch.setattr(AnswerWait, "answered", lose_first)
    asking = asyncio.create_task(ask())
    async with asyncio.timeout(PATIENCE):
        await lost.wait()
    with server.client() as client:
        run = current_bus().keys.run(ids[0])
        await until(lambda: client.hget(run, "state_name") == "Paused")
    await resume_flow_run(ids[0], {"value": 5})
    assert await asking == 5


async def test_a_retry_whose_failure_is_lost(server: Server) -> None:
    """It was not cancelled: it is called again, and fails or succeeds by itself."""
    ids: list[UUID] = []

    @flow(retries=1, retry_delay_seconds=0.5)
    async def stumble() -> str:
        ids.append(get_run_context().run_id)
        if len(ids) == 1:
            raise ValueError("on purpose")
        return "done"

    calling = asyncio.create_task(stumble())
    with server.client() as client:
        key = lambda: current_bus().keys.run(ids[0])  # noqa: E731
        await until(lambda: ids and client.hget(key(), "state_name") == "Pending")
        client.hset(key(), "state_name", "Running")
        client.hdel(key(), "retry")
    assert await calling == "done"
    assert (await get_client().read_flow_run(ids[0])).state.name == "Completed"


def test_a_called_flow_whose_run_is_lost(server: Server, start_worker: StartWorker) -> None:
    """Its caller is executed again and calls it anew: what could go on does not fail."""
    start_worker("family")
    run_id = started("family/x")
    child = next(child_runs.ids_of_call(run_id, 1))
    until_so(lambda: state_of(child) == "Paused", RunMissing)
    lose_run(server, child)
    until_so(lambda: state_of(child) == "Paused", RunMissing)
    for run, value in ((child, 1), (child, 2), (run_id, True)):
        until_so(lambda run=run: state_of(run) == "Paused")
        answer(run, value)
    assert result_of(run_id) == ["tuple", 1, 2, True]


def lose_run(server: Server, run_id: UUID) -> None:
    """Take back that a run was ever made, in one step; all connections are new then."""
    keys, place = Keys("runbus"), tag(run_id)
    with server.client() as client:
        with client.pipeline(transaction=True) as undo:
            undo.delete(*client.keys(f"runbus:{{{place}}}:{run_id}:*"))
            for index in (keys.runs(place), keys.active(place), keys.pending(place)):
                undo.zrem(index, str(run_id))
            undo.execute()
        client.execute_command("CLIENT", "KILL", "TYPE", "normal")


async def test_a_started_run_that_is_lost(server: Server) -> None:
    """Who waits for it in `run_deployment` starts it again, within the time that was given."""
    bus = current_bus()
    await deployments.register(bus, "wait/x", wait.to_deployment("x").fields())
    waiting = asyncio.create_task(run_deployment("wait/x", timeout=PATIENCE))
    run_id = await the_one_run()
    for _ in range(2):
        await asyncio.to_thread(lose_run, server, run_id)
        assert await the_one_run() == run_id
    await cancel_flow_run(run_id)
    run = await waiting
    assert (run.id, run.state.name) == (run_id, "Cancelled")


def test_who_has_slept_until_a_run_has_expired_starts_it_no_more(
    start_process: StartProcess, start_worker: StartWorker, tmp_path: Path
) -> None:
    """It may have ended meanwhile, with a result: that is said, and nothing is executed twice."""
    start_worker("nap", retention_seconds=1)
    until_so(lambda: deployed("nap/x"))
    order = {"name": "nap/x", "parameters": {"number": 1, "seconds": 1}}
    said = ("run_deployment", json.dumps(order))
    caller = start_process("caller.py", *said, said=tmp_path / "said", retention_seconds=1)
    until_so(runs_there)
    caller.send_signal(signal.SIGSTOP)
    until_so(lambda: not runs_there())
    caller.send_signal(signal.SIGCONT)
    assert caller.wait(PATIENCE) == 1
    assert "RunExpired" in (tmp_path / "said").read_text()
    assert not runs_there()


def deployed(name: str) -> bool:
    found = block(lambda: get_client().read_deployments())
    return name in {each.name for each in found}


def runs_there() -> list[FlowRun]:
    return block(lambda: get_client().read_flow_runs())


async def the_one_run() -> UUID:
    async with asyncio.timeout(PATIENCE):
        while not (found := await get_client().read_flow_runs()):
            await asyncio.sleep(0.01)
    return found[0].id


@flow
async def wait() -> None: ...
