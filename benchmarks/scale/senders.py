"""The axis of processes that send at once, each to runs of its own."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from benchmarks import child
from benchmarks.bench import SENDER, TEXT
from benchmarks.measure import rate
from benchmarks.micro.sends import TASKS
from benchmarks.scale.axis import Axis, Costs, spent
from runbus import send_input
from runbus.settings import temporary_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench

_SENDS = 10_000


def axes() -> Iterator[Axis]:
    """The axis about processes."""
    yield Axis(name="processes that send", sizes=(1, 2, 4, 8), measure=_sending)


def _sending(bench: Bench, size: int) -> Costs:
    """What a send costs its process and the server, and the time between two of all processes."""
    given = {"url": bench.url, "prefix": bench.prefix}
    with ExitStack() as stack, bench.control() as control:
        members = [stack.enter_context(child.child("scale.senders", **given)) for _ in range(size)]
        for member in members:
            member.answer()
        start = spent(control)
        for member in members:
            member.tell(_SENDS)
        client = sum(member.answer() for member in members)
        costs = spent(control).per(_SENDS * size, start)
        return {f"send: {name}": cost for name, cost in costs.items()} | {
            "send: client, us": client / (_SENDS * size) * 1e6
        }


async def _main() -> None:
    send = partial(send_input, TEXT, uuid4(), SENDER)
    await rate(send, 1000, TASKS)
    child.reply("ready")
    async for count in child.requests():
        start = time.process_time()
        await rate(send, count, TASKS)
        child.reply(time.process_time() - start)


if __name__ == "__main__":
    with temporary_settings(**child.arguments()):
        asyncio.run(_main())
