"""The side of FastStream: `publish` to a stream, and a subscriber of it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.bench import TEXT, Bench
from benchmarks.compare.side import CHECKED, KEPT, ORDER, REPEATED, RESTART, Side

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_GUARANTEES = {
    REPEATED: "is tried again by its client and may be stored twice",
    ORDER: "that of one connection",
    RESTART: "sees what comes from then on; in a group, what nobody has acknowledged",
    CHECKED: "the type, by the subscriber",
    KEPT: "Redis",
}
_READY_SECONDS = 0.3


@asynccontextmanager
async def side(bench: Bench) -> AsyncIterator[Side]:
    """One broker that publishes and subscribes."""
    from faststream.redis import RedisBroker, StreamSub  # slow to import

    logging.getLogger("faststream").setLevel(logging.ERROR)
    came: asyncio.Queue[str] = asyncio.Queue()
    waited = bench.plain_key()
    broker = RedisBroker(bench.url, logger=None)

    @broker.subscriber(stream=StreamSub(waited))
    async def _receive(text: str) -> None:
        came.put_nowait(text)

    async def exchange() -> None:
        await broker.publish(TEXT, stream=waited)
        await came.get()

    async with broker:
        await broker.start()
        await asyncio.sleep(_READY_SECONDS)  # it sees only what comes once it reads
        yield Side(
            name="FastStream",
            guarantees=_GUARANTEES,
            store=partial(broker.publish, TEXT, stream=bench.plain_key()),
            exchange=exchange,
        )
