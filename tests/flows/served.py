"""The flows that the tests' workers serve: `python served.py <limit> [flow name …]`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID  # noqa: TC003  (a flow resolves its annotations)

import anyio.to_thread
from pydantic import BeforeValidator

from runbus import (
    Flow,
    FlowRunCancelled,
    flow,
    get_run_logger,
    pause_flow_run,
    receive_input,
    run_deployment,
    send_input,
    serve,
    suspend_flow_run,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def price_of(order: dict[str, int]) -> int:
    return order["price"]


@flow
def pay(price: Annotated[int, BeforeValidator(price_of)]):
    return price


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


@flow
def haunt(observer: UUID, diary: str, wait: str) -> int:
    """Say who has the run, wait for a number, and note in a file how it went on."""
    send_input(os.getpid(), observer, key_prefix="pid")
    number = noted(diary, lambda: waits(wait))
    for verb in (
        lambda: send_input("a word to others", observer),
        lambda: pause_flow_run(int, timeout=0, key="late"),
        lambda: run_deployment("haunt/x", timeout=0),
    ):
        if number is None:
            noted(diary, verb)
    return number


def waits(how: str) -> int:
    if how == "sleep":
        time.sleep(4)
    return pause_flow_run(int) if how == "pause" else receive_input(int, timeout=None).next()


def noted(diary: str, verb: Callable[[], Any]) -> Any:
    try:
        value, outcome = verb(), "did it"
    except Exception as error:
        value, outcome = None, type(error).__name__
    note(diary, outcome)
    return value


def note(diary: str, outcome: str) -> None:
    with Path(diary).open("a") as file:
        file.write(f"{os.getpid()} {outcome}\n")


@flow
async def haunt_async(observer: UUID, diary: str, wait: str) -> int:
    """Do the first half of what `haunt` does."""
    await send_input(os.getpid(), observer, key_prefix="pid")
    try:
        if wait == "pause":
            number = await pause_flow_run(int)
        else:
            number = await receive_input(int, timeout=None).next()
    except BaseException as error:
        note(diary, type(error).__name__)
        raise
    note(diary, "did it")
    return number


def stop_first(diary: str) -> str:
    """Stop the process that has the run first, before the flow begins."""
    if not Path(diary).exists():
        note(diary, "stopped")
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0.5)  # another thread than this one may have to run to stop it
    return diary


@flow
def begin_late(diary: Annotated[str, BeforeValidator(stop_first)]) -> int:
    note(diary, "began")
    return os.getpid()


@flow
async def begin_late_async(diary: Annotated[str, BeforeValidator(stop_first)]) -> int:
    note(diary, "began")
    return os.getpid()


@flow
async def collect(observer: UUID, count: int) -> list[int]:
    """Receive so many numbers, and tell of each."""
    inbox = receive_input(int, timeout=None)
    numbers: list[int] = []
    while len(numbers) < count:
        numbers.append(await inbox.next())
        await send_input(f"got {numbers[-1]}", observer)
    return numbers


@flow
async def prompt(observer: UUID) -> str:
    """Ask a person at the terminal, which blocks the loop."""
    await send_input(os.getpid(), observer, key_prefix="pid")
    return input()  # noqa: ASYNC250


@flow
async def ask_twice() -> tuple[int, int]:
    return await pause_flow_run(int), await pause_flow_run(int)


@flow
async def leave(how: str) -> None:
    raise {"exit": SystemExit, "interrupt": KeyboardInterrupt, "own": OwnEnd}[how](3)


class OwnEnd(BaseException):
    """What no library knows."""


@flow
async def family() -> list[Any]:
    """Leave a part of the work to a child, then ask."""
    numbers = await ask_twice()
    sure = await pause_flow_run(bool)
    return [type(numbers).__name__, *numbers, sure]


@flow
async def compensate(other: UUID) -> None:
    try:
        await pause_flow_run(int)
    except FlowRunCancelled:
        send_input("refund", other)
        get_run_logger().info("refunded")
        raise


@flow
def sync_compensate(other: UUID) -> None:
    try:
        pause_flow_run(int)
    except FlowRunCancelled:
        send_input("refund", other)
        get_run_logger().info("refunded")
        raise


@flow(retries=1)
async def suspend_shortly() -> int:
    return await suspend_flow_run(int, timeout=0.5)


def pause_and_suspend() -> list[int]:
    return [pause_flow_run(int), suspend_flow_run(int)]


@flow
async def ask_in_thread() -> list[int]:
    return await asyncio.to_thread(pause_and_suspend)


@flow
async def ask_in_anyio_thread() -> list[int]:
    return await anyio.to_thread.run_sync(pause_and_suspend)


@flow
def sync_ask_twice() -> tuple[int, int]:
    return pause_flow_run(int), pause_flow_run(int)


@flow
def sync_family() -> list[Any]:
    numbers = sync_ask_twice()
    sure = pause_flow_run(bool)
    return [type(numbers).__name__, *numbers, sure]


if __name__ == "__main__":
    limit, names = int(sys.argv[1]) or None, sys.argv[2:]
    served = [
        each.to_deployment("x")
        for each in list(globals().values())
        if isinstance(each, Flow) and (not names or each.name in names)
    ]
    serve(*served, limit=limit)
