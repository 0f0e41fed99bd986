"""The child process of `waiters`: receivers that wait, each in a task of its own.

Requests: `["add", count]` starts receivers and answers `null`; `["memory"]` answers the bytes of
memory that the process holds; `["ports"]` answers the local ports of its connections; `["wakes"]`
answers how many nanoseconds each wake took since the last such request.
"""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

from benchmarks import child
from benchmarks.micro import process
from runbus import receive_input
from runbus.settings import temporary_settings


def run_id_of(first: int, number: int) -> UUID:
    """Return the run that a receiver waits for; their hash tags are spread evenly."""
    return UUID(int=first + number)


async def _wait_for_ever(first: int, number: int, wakes: list[int]) -> None:
    inbox = receive_input(str, flow_run_id=run_id_of(first, number), timeout=None)
    while True:
        sent_at = await inbox.next()
        wakes.append(time.monotonic_ns() - int(sent_at))


async def _main(first: int) -> None:
    tasks: list[asyncio.Task[None]] = []
    wakes: list[int] = []
    async for request in child.requests():
        match request:
            case ["add", count]:
                tasks += [
                    asyncio.create_task(_wait_for_ever(first, number, wakes))
                    for number in range(len(tasks), len(tasks) + count)
                ]
                child.reply(None)
            case ["memory"]:
                child.reply(process.memory())
            case ["ports"]:
                child.reply(process.ports())
            case ["wakes"]:
                child.reply(wakes)
                wakes.clear()
    await child.cancel(tasks)


if __name__ == "__main__":
    given = child.arguments()
    with temporary_settings(url=given["url"], prefix=given["prefix"]):
        asyncio.run(_main(given["first"]))
