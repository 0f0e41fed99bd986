"""The limits of a machine: what the client and the server cost when they do next to nothing."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import hiredis

if TYPE_CHECKING:
    from collections.abc import Callable

_CALLS = 20_000
_AT_ONCE = 100
_ENTRY = ("key", "str-" + "x" * 36, "sender", "x" * 36, "value", '"a short answer"')


class Echo(asyncio.Protocol):
    """A connection on which PING is answered, with hiredis and nothing else."""

    def __init__(self) -> None:
        self.waiting: deque[asyncio.Future[Any]] = deque()
        self._reader = hiredis.Reader()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self.waiting.popleft().set_result(reply)


async def of_client(url: str) -> dict[str, float]:
    """Return the microseconds of a PING: of the clock and of this process, singly and in 100s."""
    loop, place = asyncio.get_running_loop(), urlsplit(url)
    transport, echo = await loop.create_connection(Echo, place.hostname, place.port)
    ping = hiredis.pack_command(("PING",))

    def ask(count: int) -> list[asyncio.Future[Any]]:
        futures = [loop.create_future() for _ in range(count)]
        echo.waiting.extend(futures)
        transport.write(ping * count)
        return futures

    try:
        singly = await _per_call(ask, 1)
        together = await _per_call(ask, _AT_ONCE)
    finally:
        transport.close()
    return {
        "an empty echo, one at a time: clock": singly[0],
        "an empty echo, one at a time: client": singly[1],
        f"an empty echo, {_AT_ONCE} at once: client": together[1],
    }


async def _per_call(
    ask: Callable[[int], list[asyncio.Future[Any]]], at_once: int
) -> tuple[float, float]:
    clock, used = time.perf_counter(), time.process_time()
    for _ in range(_CALLS // at_once):
        for future in ask(at_once):
            await future
    spent = time.perf_counter() - clock, time.process_time() - used
    return spent[0] / _CALLS * 1e6, spent[1] / _CALLS * 1e6


def of_server(url: str, key: str) -> dict[str, float]:
    """Return the microseconds between two XADDs that `redis-benchmark` has stored, if it is there.

    Singly from 50 connections, and 100 to a pipeline.
    """
    tool = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    if tool is None:
        return {}
    return {
        f"XADD by redis-benchmark, {name}: clock": 1e6 / _rate(tool, url, key, *words)
        for name, words in (
            ("50 connections", ("-n", "100000")),
            (f"{_AT_ONCE} to a pipeline", ("-n", "500000", "-P", str(_AT_ONCE))),
        )
    }


def _rate(tool: str, url: str, key: str, *words: str) -> float:
    place = urlsplit(url)
    command = [tool, "-h", str(place.hostname), "-p", str(place.port), "--csv", *words]
    command += ["XADD", key, "*", *_ENTRY]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(told.splitlines()[-1].split(",")[1].strip('"'))
