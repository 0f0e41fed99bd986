"""The end of a worker whose event loop a flow blocks: nothing comes through there, no hand-back.

Its grace time ends all the same. What it executes is handed back by the background loop, which no
flow blocks, and the process ends as at a second signal.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from runbus.background import lease_holder
from runbus.errors import RunbusError
from runbus.store.connection.connection import settle
from runbus.worker.worker import HAND_BACK_SECONDS, LAST_WORDS_SECONDS

if TYPE_CHECKING:
    from runbus.worker.worker import Worker

BLOCKED_SECONDS = 5.0
"""How long a loop says nothing before it is called blocked."""
_log = logging.getLogger("runbus.flow_runs")


async def end_if_blocked(worker: Worker) -> None:
    """End the process if the worker, which was told to end, cannot; on the background loop."""
    await asyncio.sleep(worker.grace.left + HAND_BACK_SECONDS)
    while not worker.has_ended:
        if not await _answers(worker.loop):
            await _end(worker)
        await asyncio.sleep(1)


async def _answers(loop: asyncio.AbstractEventLoop) -> bool:
    own_loop = asyncio.get_running_loop()
    heard: asyncio.Future[None] = own_loop.create_future()
    with suppress(RuntimeError):  # it has ended, and the worker with it
        loop.call_soon_threadsafe(own_loop.call_soon_threadsafe, settle, heard, None)
        await asyncio.wait([heard], timeout=BLOCKED_SECONDS)
        return heard.done()
    return True


async def _end(worker: Worker) -> None:
    _log.error("ended: a flow blocks the event loop; others go on with what this worker executes")
    with suppress(RunbusError, TimeoutError):
        async with asyncio.timeout(LAST_WORDS_SECONDS):
            await worker.give_back()
    lease_holder.say_unrecorded(worker.holder.holdings.kept_ends())
    logging.shutdown()
    os._exit(1)
