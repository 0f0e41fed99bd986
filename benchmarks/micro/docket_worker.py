"""The child process that executes docket's tasks, beside `served`."""

from __future__ import annotations

import asyncio

from docket import Docket, Worker

from benchmarks import child

CONCURRENCY = 100


async def nothing(number: int) -> int:
    """Do nothing."""
    return number


async def _main(url: str, name: str) -> None:
    async with Docket(name=name, url=url) as docket:
        docket.register(nothing)
        async with Worker(docket, concurrency=CONCURRENCY) as worker:
            working = asyncio.create_task(worker.run_forever())
            async for _ in child.requests():
                pass
            await child.cancel([working])


if __name__ == "__main__":
    asyncio.run(_main(**child.arguments()))
