"""Flows in odd places: fifty that block one worker's threads, a notebook, a fork, under Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from faults import LEASE_SECONDS, PATIENCE, answer, result_of, started, state_of, until

from runbus import flow, get_run_context, pause_flow_run, wait_for_flow_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults import StartWorker
    from servers import Server

WAIT = """
import os
from runbus import *
@flow
def wait():
    print(get_run_context().run_id, flush=True)
    {fork}
    return pause_flow_run(int)
print(wait(), flush=True)
"""
FORK = """
    child = os.fork()
    if child == 0:
        assert receive_input(str, timeout=20).next() == "for the child"
        send_input("from the child", get_run_context().run_id, key_prefix="back")
        os._exit(0)
    send_input("for the child", get_run_context().run_id)
    assert receive_input(str, key_prefix="back", timeout=20).next() == "from the child"
    assert os.waitpid(child, 0)[1] == 0
"""
CLOSE = """
import asyncio, sys
from runbus import *
begun = {}
def begin(name):
    begun[name] = get_run_context().run_id
    print(begun[name], flush=True)
@flow
async def ask():
    begin("ask")
    await pause_flow_run(int)
@flow
async def execute():
    begin("execute")
    await asyncio.sleep(1000)
async def until_paused():
    while len(begun) < 2 or await get_client().read_pause(begun["ask"]) is None:
        await asyncio.sleep(0.05)
loop = asyncio.new_event_loop()
tasks = [loop.create_task(each()) for each in (ask, execute)]
loop.run_until_complete(until_paused())
loop.close()
sys.stdin.read()
"""


def start_waiting(server: Server, fork: str = "") -> tuple[subprocess.Popen[str], UUID]:
    """Start a script whose flow pauses; return it and its run's id."""
    code = WAIT.format(fork=fork.strip())
    script = subprocess.Popen(
        [sys.executable, "-c", code],
        env={"RUNBUS_URL": server.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert script.stdout is not None
    run_id = UUID(script.stdout.readline().strip())
    until(lambda: state_of(run_id) == "Paused")
    return script, run_id


def test_a_loop_that_is_closed_with_flows_in_it(
    valkey: Server, configure: Callable[..., None]
) -> None:
    """Nothing can go on with them: their runs crash, though the process lives."""
    configure(lease_seconds=LEASE_SECONDS)
    script = subprocess.Popen(
        [sys.executable, "-c", CLOSE],
        env={"RUNBUS_URL": valkey.url, "RUNBUS_LEASE_SECONDS": str(LEASE_SECONDS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert script.stdout is not None
    for run_id in [UUID(script.stdout.readline().strip()) for _ in range(2)]:
        until(lambda run_id=run_id: state_of(run_id) == "Crashed")
    assert script.poll() is None
    _, said = script.communicate("")
    assert "blocks its event loop" not in said


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
def test_fifty_sync_flows_paused_in_one_worker(start_worker: StartWorker) -> None:
    """Each blocks a thread of its own, and none of them takes a place."""
    start_worker("sync-ask-twice", limit=3)
    run_ids = [started("sync-ask-twice/x") for _ in range(50)]
    for run_id in run_ids:
        until(lambda run_id=run_id: state_of(run_id) == "Paused")
    for number, run_id in enumerate(run_ids):
        answer(run_id, number)
    for number, run_id in reversed(list(enumerate(run_ids))):
        answer(run_id, -number)
    assert [result_of(run_id) for run_id in run_ids] == [[n, -n] for n in range(50)]


def test_ctrl_c_in_a_pause(valkey: Server) -> None:
    """The script ends at once, and its run is no ghost."""
    script, run_id = start_waiting(valkey)
    script.send_signal(signal.SIGINT)
    _, errors = script.communicate(timeout=PATIENCE)
    assert script.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in errors
    state = wait_for_flow_run(run_id, timeout=PATIENCE).state
    assert (state.name, state.message) == ("Crashed", "interrupted by KeyboardInterrupt")


def test_a_flow_that_forks(valkey: Server) -> None:
    """A child talks to its run on connections of its own; the run goes on in the parent."""
    script, run_id = start_waiting(valkey, FORK)
    answer(run_id, 5)
    output, errors = script.communicate(timeout=PATIENCE)
    assert (script.returncode, output) == (0, "5\n"), errors
    assert result_of(run_id) == 5


def test_a_sync_flow_in_a_notebook(valkey: Server) -> None:
    """A cell's loop runs already: the flow blocks it, and can be answered all the same."""
    ids: list[UUID] = []

    @flow
    def ask() -> int:
        ids.append(get_run_context().run_id)
        return pause_flow_run(int)

    async def cell() -> int:
        return ask()

    def reply() -> None:
        until(lambda: ids)
        answer(ids[0], 9)

    replier = threading.Thread(target=reply)
    replier.start()
    assert asyncio.run(cell()) == 9
    replier.join(PATIENCE)
