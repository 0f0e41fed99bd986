"""Flows that wait for other flows: `python nested.py <limit> [flow name …]` serves them."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any
from uuid import UUID  # noqa: TC003  (a flow resolves its annotations)

from pydantic import field_validator

from runbus import (
    Flow,
    RunInput,
    cancel_flow_run,
    flow,
    get_run_context,
    pause_flow_run,
    receive_input,
    run_deployment,
    send_input,
    serve,
    suspend_flow_run,
    wait_for_flow_run,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def side_by_side(*calls: Callable[[], Any]) -> list[Any]:
    """Call functions in threads, as parts of the run that calls this."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [each.result() for each in [pool.submit(copy_context().run, call) for call in calls]]


@flow
async def leaf(number: int) -> int:
    return number


@flow
async def ask(key: str) -> int:
    return await pause_flow_run(int, key=key)


@flow
def sync_ask(key: str) -> int:
    return pause_flow_run(int, key=key)


@flow
async def two_deployed() -> list[int]:
    runs = await asyncio.gather(*(run_deployment("leaf/x", {"number": n}) for n in (1, 2)))
    return [run.state.result() for run in runs]


@flow
def sync_two_deployed() -> list[int]:
    begin = [lambda n=n: run_deployment("leaf/x", {"number": n}) for n in (1, 2)]
    return [run.state.result() for run in side_by_side(*begin)]


@flow
async def two_watched() -> list[int]:
    """Wait for two runs that were started before."""
    begun = [await run_deployment("leaf/x", {"number": n}, timeout=0) for n in (1, 2)]
    runs = await asyncio.gather(*(wait_for_flow_run(run.id) for run in begun))
    return [run.state.result() for run in runs]


@flow
async def two_asking() -> list[int]:
    return await asyncio.gather(ask("a"), ask("b"))


@flow
def sync_two_asking() -> list[int]:
    return side_by_side(lambda: sync_ask("a"), lambda: sync_ask("b"))


@flow
async def listen() -> int:
    return await receive_input(int, timeout=None).next()


@flow
def sync_listen() -> int:
    return receive_input(int, timeout=None).next()


@flow
async def block_and_ask() -> int:
    """Wait in a sync flow, which blocks the loop of this one."""
    return sync_ask("a")


@flow
async def block_and_await() -> int:
    return sync_leaf_elsewhere()


@flow
def sync_leaf_elsewhere() -> int:
    return run_deployment("leaf/x", {"number": 7}).state.result()


@flow
async def block_beside_a_pause(observer: UUID) -> list[int]:
    """Call a sync flow beside a verb that waits, while others of this worker execute."""

    async def call() -> int:
        await receive_input(str, key_prefix="call", timeout=None).next()
        await send_input("calls", observer)
        return sync_ask("b")

    return await asyncio.gather(pause_flow_run(int, key="a"), call())


@flow
async def nap(observer: UUID) -> str:
    """Hold a slot, without blocking the loop, until it is told to end."""
    await send_input("naps", observer)
    end = asyncio.get_running_loop().time() + 3
    while asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.01)
    return "napped"


class Slow(RunInput):
    """What takes longer than a lease to be judged."""

    number: int

    @field_validator("number")
    @classmethod
    def look_at(cls, number: int) -> int:
        time.sleep(3)
        return number


@flow
def judge() -> list[Any]:
    answer = pause_flow_run(Slow)
    return [answer.number, threading.current_thread().name == f"runbus-{get_run_context().run_id}"]


@flow
def echo() -> None:
    for word in receive_input(str, timeout=None, with_metadata=True):
        if word.value == "end":
            return
        word.respond(word.value)


@flow
async def leave_by_own_id() -> str:
    """Suspend the run by its id, and call no verb afterwards."""
    await suspend_flow_run(flow_run_id=get_run_context().run_id)
    check_left()
    return "resumed"


@flow
def sync_leave_by_own_id() -> str:
    suspend_flow_run(flow_run_id=str(get_run_context().run_id))
    check_left()
    return "resumed"


@flow
def suspend_caller(caller: UUID) -> None:
    if get_run_context().flow_run.run_count == 1:
        suspend_flow_run(flow_run_id=caller)
        check_left()


@flow
def left_by_child() -> str:
    suspend_caller(get_run_context().run_id)
    return "resumed"


@flow
async def cancel_by_own_id() -> None:
    await cancel_flow_run(get_run_context().run_id)
    check_left()


@flow
def sync_cancel_by_own_id() -> None:
    cancel_flow_run(get_run_context().run_id)
    check_left()


def check_left() -> None:
    """Fail in a first execution, which was to end before."""
    assert get_run_context().flow_run.run_count > 1


@flow
async def ask_later(key: str) -> int:
    return await suspend_flow_run(int, key=key)


@flow
async def start_and_wait(name: str) -> None:
    await run_deployment(name)


@flow
async def bring_up(observer: UUID) -> None:
    """Start runs that wait, each in its own way, and wait for one of them."""
    for name in ("ask/x", "ask-later/x", "leaf/x", "listen/x"):
        await start(name, observer)
    await run_deployment("ask/x", {"key": "shared"}, timeout=0, idempotency_key="shared")
    await bring_up_more(observer)


@flow
async def bring_up_more(observer: UUID) -> None:
    await wait_for_flow_run(await start("ask/x", observer))


async def start(name: str, observer: UUID) -> UUID:
    given = {"leaf/x": {"number": 1}, "listen/x": {}}.get(name, {"key": "a"})
    run = await run_deployment(name, given, timeout=0)
    await send_input(f"{name} {run.id}", observer)
    return run.id


@flow
async def call_ask() -> int:
    """Call a flow that pauses, and count it as an answer of its own."""
    return await ask("a")


@flow
def sync_call_ask() -> int:
    return sync_ask("a")


@flow
async def call_once() -> str:
    """Call a flow in the first execution only."""
    if get_run_context().flow_run.run_count == 1:
        await ask("a")
    return "done without it"


@flow
async def leave_child_behind() -> int:
    """Return while a flow that was called still waits."""
    TASKS.append(asyncio.create_task(ask("a")))
    return await pause_flow_run(int)


TASKS: list[asyncio.Task[int]] = []


if __name__ == "__main__":
    limit, names = int(sys.argv[1]) or None, sys.argv[2:]
    served = [
        each.to_deployment("x")
        for each in list(globals().values())
        if isinstance(each, Flow) and (not names or each.name in names)
    ]
    serve(*served, limit=limit)
