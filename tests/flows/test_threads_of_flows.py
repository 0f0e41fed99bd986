"""Threads that a flow starts: its run is theirs too where they have its context."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import pytest
from faults import PATIENCE, answer, result_of, started, state_of, until

from runbus import (
    cancel_flow_run,
    flow,
    get_client,
    get_run_context,
    get_run_logger,
    pause_flow_run,
    receive_input,
    send_input,
    suspend_flow_run,
)
from runbus.background.bridge import run as block
from runbus.errors import FlowRunCancelled, NoCurrentRun

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from faults import StartWorker
    from servers import Server

NEEDS_FLOW: list[Callable[[], object]] = [
    lambda: pause_flow_run(int),
    suspend_flow_run,
    get_run_context,
    get_run_logger,
]
NEEDS_ID: list[Callable[[], object]] = [lambda: receive_input(int)]


def in_thread(work: Callable[[], object]) -> object:
    """Do some work in a thread of its own, which knows nothing of the flow; return its error."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).exception()


@pytest.mark.parametrize("verb", NEEDS_FLOW)
def test_a_thread_without_the_context(valkey: Server, verb: Callable[[], object]) -> None:
    """It is told how a thread gets it, and not to name a run, which does not help."""

    @flow
    def outer() -> object:
        return in_thread(verb)

    error = outer()
    assert isinstance(error, NoCurrentRun)
    assert "copy_context" in str(error)
    assert "to_thread" in str(error)
    assert "flow_run_id=" not in str(error)
    assert "bound_run" not in str(error)


@pytest.mark.parametrize("verb", NEEDS_ID)
def test_a_thread_that_may_name_the_run(valkey: Server, verb: Callable[[], object]) -> None:
    """A verb for any run is told that, too."""
    error = in_thread(verb)
    assert isinstance(error, NoCurrentRun)
    assert "flow_run_id=" in str(error)
    assert "copy_context" in str(error)


def talk() -> list[Any]:
    """Use the verbs of a flow, in a thread."""
    run_id = get_run_context().run_id
    get_run_logger().warning("in a thread")
    first = pause_flow_run(int)
    send_input("to myself", run_id)
    return [first, receive_input(str, timeout=PATIENCE).next(), pause_flow_run(int)]


@flow
async def talk_by_asyncio() -> list[Any]:
    return await asyncio.to_thread(talk)


@flow
async def talk_by_anyio() -> list[Any]:
    return await anyio.to_thread.run_sync(talk)


@flow
def talk_in_a_copy() -> list[Any]:
    said: list[Any] = []
    thread = threading.Thread(target=copy_context().run, args=(lambda: said.extend(talk()),))
    thread.start()
    thread.join()
    return said


def waiting() -> UUID:
    (run,) = block(lambda: get_client().read_flow_runs(state="Paused"))
    return run.id


@pytest.mark.parametrize("called", [talk_by_asyncio, talk_by_anyio, talk_in_a_copy])
def test_a_thread_with_the_context(valkey: Server, called: Any) -> None:
    """The verbs of the flow work in it, as they do in the flow."""
    results: list[Any] = []
    work = called if called is talk_in_a_copy else lambda: asyncio.run(called())
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    run_id = until(waiting, ValueError)
    answer(run_id, 1)
    answer(run_id, 2)
    thread.join(PATIENCE)
    assert results == [[1, "to myself", 2]]
    lines = block(lambda: get_client().read_logs(run_id))
    assert "in a thread" in [line.message for line in lines]


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
@pytest.mark.parametrize("name", ["ask-in-thread", "ask-in-anyio-thread"])
def test_a_thread_of_a_served_flow(start_worker: StartWorker, name: str) -> None:
    """It takes no place while it waits, suspends its run, and is replayed."""
    start_worker(name, limit=1)
    first, second = started(f"{name}/x"), started(f"{name}/x")
    for run_id in (first, second):
        answer(run_id, 1)
        until(lambda run_id=run_id: state_of(run_id) == "Suspended")
        answer(run_id, 2)
    assert [result_of(first), result_of(second)] == [[1, 2], [1, 2]]


async def test_a_thread_of_a_run_that_is_cancelled(valkey: Server) -> None:
    """It leaves its verb by the same error as the flow."""
    left: list[BaseException] = []
    run_ids: list[UUID] = []

    def ask() -> None:
        run_ids.append(get_run_context().run_id)
        try:
            pause_flow_run(int)
        except BaseException as error:
            left.append(error)
            raise

    @flow
    async def outer() -> None:
        await asyncio.to_thread(ask)

    task = asyncio.create_task(outer())
    while not run_ids or not (await get_client().read_flow_run(run_ids[0])).state.is_paused():
        await asyncio.sleep(0.01)
    await cancel_flow_run(run_ids[0])
    with pytest.raises(FlowRunCancelled):
        await task
    while not left:
        await asyncio.sleep(0.01)
    assert isinstance(left[0], FlowRunCancelled)


async def _send_and_receive(run_id: UUID) -> str:
    await send_input("from a loop", run_id)
    return await anext(receive_input(str, timeout=10))


def test_a_loop_that_a_sync_flow_runs(valkey: Server) -> None:
    """In its coroutines the verbs are to be awaited, as everywhere on a loop."""

    pytest.importorskip("greenlet")  # with it, a loop may run beside code

    @flow
    def outer() -> str:
        return asyncio.run(_send_and_receive(get_run_context().run_id))

    assert outer() == "from a loop"
