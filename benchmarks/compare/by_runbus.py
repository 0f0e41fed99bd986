"""The side of runbus."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from benchmarks.bench import SENDER, TEXT, Bench
from benchmarks.compare.side import BACKLOG, CHECKED, KEPT, ORDER, REPEATED, RESTART, Side
from benchmarks.micro.deployments import serving
from benchmarks.micro.drains import drain, fill
from runbus import receive_input, run_deployment, send_input

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_GUARANTEES = {
    REPEATED: "is asked again and stored once",
    ORDER: "that of each sender",
    RESTART: "sees all from the first on, without those it names",
    CHECKED: "type, schema and size, on both ends; unread inputs are bounded",
    KEPT: "Redis; durability is chosen for each send",
}


@asynccontextmanager
async def side(bench: Bench) -> AsyncIterator[Side]:
    """Send to runs of the benchmark's own; a worker in another process executes the jobs."""
    backlog, receiver = uuid4(), uuid4()
    with bench.settings(), serving(bench):
        await fill(backlog, TEXT, BACKLOG)
        inbox = receive_input(str, flow_run_id=receiver, timeout=None)

        async def exchange() -> None:
            await send_input(TEXT, receiver, SENDER)
            await anext(inbox)

        yield Side(
            name="runbus",
            guarantees=_GUARANTEES,
            store=partial(send_input, TEXT, uuid4(), SENDER),
            exchange=exchange,
            job=partial(run_deployment, "nothing/bench", {"number": 1}),
            drain=partial(_drain, backlog),
        )


async def _drain(run_id: UUID) -> None:
    _, count = await drain(run_id, str)
    assert count == BACKLOG
