"""The side of docket: a task that does nothing, executed by a worker in another process."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from docket import Docket

from benchmarks.child import child
from benchmarks.compare.side import CHECKED, KEPT, ORDER, REPEATED, RESTART, Side
from benchmarks.micro.docket_worker import nothing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.bench import Bench

_GUARANTEES = {
    REPEATED: "a task with a key of yours is scheduled once",
    ORDER: "none",
    RESTART: "executes again what its predecessor had not finished",
    CHECKED: "nothing",
    KEPT: "Redis",
}


@asynccontextmanager
async def side(bench: Bench) -> AsyncIterator[Side]:
    """`add` a task and wait for its `get_result`."""
    name = f"{bench.prefix}:docket"
    with child("micro.docket_worker", url=bench.url, name=name):
        async with Docket(name=name, url=bench.url) as docket:
            docket.register(nothing)

            async def job() -> None:
                execution = await docket.add(nothing)(number=1)
                assert await execution.get_result() == 1

            yield Side(name="docket", guarantees=_GUARANTEES, job=job)
