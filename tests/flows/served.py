"""The flows that the tests' workers serve: `python served.py <limit> [flow name …]`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from uuid import UUID  # noqa: TC003  (a flow resolves its annotations)

from runbus import (
    Flow,
    flow,
    pause_flow_run,
    receive_input,
    run_deployment,
    send_input,
    serve,
    suspend_flow_run,
)


@flow
async def shop(item: str):
    count = await pause_flow_run(int)
    sure = await suspend_flow_run(bool)
    return [item, count, sure]


@flow
def sync_shop(item: str):
    count = pause_flow_run(int)
    sure = suspend_flow_run(bool)
    return [item, count, sure]


@flow
async def double(number: int):
    return number * 2


@flow
def fail():
    raise ValueError("on purpose")


@flow
async def die():
    os.kill(os.getpid(), signal.SIGKILL)


@flow
async def stall(observer: UUID, seconds: float):
    await send_input(os.getpid(), observer, key_prefix="pid")
    time.sleep(seconds)  # noqa: ASYNC251  (blocks the loop, as a person's input() does)
    await send_input("awake", observer)
    return os.getpid()


@flow
def parent():
    return run_deployment("double/x", {"number": 21}).state.result()


@flow
async def give_up():
    await suspend_flow_run(int, timeout=0.2)


@flow
async def nap(number: int, seconds: float) -> int:
    await asyncio.sleep(seconds)
    return number


@flow
async def leave_at_once() -> None:
    """Take the process down, with all that it executes."""
    await asyncio.sleep(0.2)  # so that there is something
    os._exit(1)


@flow
async def turn() -> int:
    """Pause under another key in each process."""
    return await pause_flow_run(int, key=str(os.getpid()))


@flow(retries=1, retry_delay_seconds=4)
def retry_late(observer: UUID) -> int:
    """Fail once, and be called again after more than a lease."""
    send_input("called", observer)
    calls = receive_input(str, flow_run_id=observer, timeout=0, raise_timeout_error=False)
    if len(list(calls)) == 1:
        raise ValueError("once")
    return os.getpid()


@flow
def pause_late(observer: UUID) -> int:
    """Say that it runs, and pause a while later."""
    send_input("working", observer)
    time.sleep(0.5)
    return pause_flow_run(int)


@flow
async def spin(observer: UUID) -> str:
    """Say that it runs, then run on until it is told to end."""
    await send_input("spinning", observer, key="spinning")
    await receive_input(str, key_prefix="end", timeout=None).next()
    return "ended"


if __name__ == "__main__":
    limit, names = int(sys.argv[1]) or None, sys.argv[2:]
    served = [
        each.to_deployment("x")
        for each in list(globals().values())
        if isinstance(each, Flow) and (not names or each.name in names)
    ]
    serve(*served, limit=limit)
