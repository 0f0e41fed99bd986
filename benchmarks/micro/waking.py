"""The child process that `resuming` wakes: by an answer, by an input, and by a plain entry.

It says first which run it is. A request names one of the three and is answered, once that has
woken again, with the moment of it (`time.monotonic_ns`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from redis.asyncio import Redis as AsyncRedis

from benchmarks import child
from benchmarks.micro.conversations import PlainReader
from runbus import flow, get_run_context, pause_flow_run, receive_input
from runbus.settings import temporary_settings

if TYPE_CHECKING:
    from collections.abc import Callable

Wakes = dict[str, asyncio.Queue[int]]


@flow
async def _pause_again_and_again(woken: Callable[[], None], begun: Callable[[str], None]) -> None:
    begun(str(get_run_context().run_id))
    while True:
        await pause_flow_run(str, timeout=None)
        woken()


async def _receive(flow_run_id: str, woken: Callable[[], None]) -> None:
    async for _ in receive_input(str, flow_run_id=flow_run_id, timeout=None):
        woken()


async def _read_plainly(url: str, key: str, woken: Callable[[], None]) -> None:
    async with AsyncRedis.from_url(url) as client:
        reader = PlainReader(client, key)
        while True:
            await reader.next()
            woken()


async def _main(url: str, receiver: str, plain: str) -> None:
    wakes: Wakes = {name: asyncio.Queue() for name in ("answer", "input", "plain")}

    def wakes_of(name: str) -> Callable[[], None]:
        return lambda: wakes[name].put_nowait(time.monotonic_ns())

    async with asyncio.TaskGroup() as group:  # one that fails ends the process, with its error
        work = (
            _pause_again_and_again(wakes_of("answer"), child.reply),
            _receive(receiver, wakes_of("input")),
            _read_plainly(url, plain, wakes_of("plain")),
        )
        tasks = [group.create_task(each) for each in work]
        async for name in child.requests():
            child.reply(await wakes[name].get())
        await child.cancel(tasks)


if __name__ == "__main__":
    given = child.arguments()
    logging.getLogger("runbus").addHandler(logging.NullHandler())  # a line costs as much as a wake
    with temporary_settings(url=given["url"], prefix=given.pop("prefix")):
        asyncio.run(_main(**given))
