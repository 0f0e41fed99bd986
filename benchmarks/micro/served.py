"""The child process that serves flows, for the rows about deployments and pauses.

Requests: `["stamps", count]` answers, once there are so many, when the flows were where they say
(`time.monotonic_ns`) since the last such request; `["memory"]` answers the bytes of memory that
the process holds; `["ports"]` the local ports of its connections; `["cpu"]` the seconds of CPU
that it has used.
"""

from __future__ import annotations

import asyncio
import logging
import time

from benchmarks import child
from benchmarks.micro import process
from runbus import flow, pause_flow_run, receive_input, serve, suspend_flow_run
from runbus.settings import temporary_settings

_stamps: list[int] = []
_PATIENCE_SECONDS = 60.0
_LOOK_AGAIN_SECONDS = 0.001


@flow
async def nothing(number: int) -> int:
    """Do nothing."""
    return number


@flow
async def first_line() -> None:
    """Say when it began."""
    _stamps.append(time.monotonic_ns())


@flow
async def suspend(reads: bool) -> None:
    """Suspend itself, and say when it went on."""
    if reads:
        await receive_input(str, timeout=None).next()
    await suspend_flow_run(str)
    _stamps.append(time.monotonic_ns())


@flow
async def pause(times: int) -> None:
    """Pause so many times, and say each time when it went on."""
    for _ in range(times):
        await pause_flow_run(str, timeout=None)
        _stamps.append(time.monotonic_ns())


async def _take_stamps(count: int) -> list[int]:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while len(_stamps) < count:
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    taken = _stamps[:]
    _stamps.clear()
    return taken


async def _main() -> None:
    flows = (nothing, first_line, suspend, pause)
    serving = asyncio.ensure_future(serve(*(each.to_deployment("bench") for each in flows)))
    async for request in child.requests():
        match request:
            case ["stamps", count]:
                child.reply(await _take_stamps(count))
            case ["memory"]:
                child.reply(process.memory())
            case ["ports"]:
                child.reply(process.ports())
            case ["cpu"]:
                child.reply(time.process_time())
    serving.cancel()
    await asyncio.wait([serving])


if __name__ == "__main__":
    given = child.arguments()
    # No line for each run, as docket writes none either.
    logging.getLogger("runbus").addHandler(logging.NullHandler())
    with temporary_settings(url=given["url"], prefix=given["prefix"]):
        asyncio.run(_main())
