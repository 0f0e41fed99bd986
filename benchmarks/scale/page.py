"""How long the page of what waits takes with many runs stored: `python -m benchmarks.scale.page`.

Stores 100,000 runs on a server of its own, of which 1,000 wait, serves the page as a process and
asks for it 50 times, one after the other. A time is that of the whole request, on loopback, beside
what the page's process computed for it.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx

from benchmarks.server import running_server
from runbus.protocol.execution import Owner
from runbus.settings import temporary_settings
from runbus.store.bus import current_bus
from runbus.store.records import runs
from runbus.store.records.pause_opening import Form, open_pause

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE = 200
TIMES = 50
PATHS = {"what waits": "", "runs": "runs", "runs that are paused": "runs?state=Paused"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--waiting", type=int, default=1000)
    given = parser.parse_args()
    with running_server() as url, temporary_settings(url=url):
        asyncio.run(_fill(given.runs, given.waiting))
        with _served(url) as (page, pid), httpx.Client(base_url=page, timeout=60) as client:
            for name, path in PATHS.items():
                _time(client, path)  # the first one reads the template
                used = _processor_ms(pid)
                times = [_time(client, path) for _ in range(TIMES)]
                _print(name, times, (_processor_ms(pid) - used) / TIMES)


async def _fill(count: int, waiting: int) -> None:
    bus, room = current_bus(), asyncio.Semaphore(AT_ONCE)
    owner = Owner(process="benchmark", lease="60000 benchmark")
    form = Form(schema=b'{"type":"object"}', shape="x", description="May it **go on**?")

    async def one(number: int) -> None:
        async with room:
            run_id = uuid4()
            fields = {"flow": f"flow-{number % 50}", "name": f"run-{number}"}
            run = await runs.create(bus, run_id, fields, owner=owner, digits="benchmark")
            if number < waiting:
                options = {"timeout": 3600 + number, "retry": 0, "epoch": run.epoch}
                await open_pause(bus, run_id, "1", form, **options)
            else:
                await runs.move(bus, run, "Completed")

    for begin in range(0, count, 10_000):
        await asyncio.gather(*(one(each) for each in range(begin, min(count, begin + 10_000))))


def _time(client: httpx.Client, path: str) -> float:
    begun = time.perf_counter()
    client.get(f"/{path}").raise_for_status()
    return (time.perf_counter() - begun) * 1000


def _print(name: str, times: list[float], used: float) -> None:
    spread = f"{min(times):.1f} … {max(times):.1f}"
    print(f"{name}: p50 {statistics.median(times):.1f} ms ({spread}), processor {used:.1f} ms")


def _processor_ms(pid: int) -> float:
    """Return how long a process has computed; on a shared machine this is the honest figure."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return math.nan
    ticks = sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13]))
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")


@contextmanager
def _served(url: str) -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-m", "runbus.web", "--port", "0"]
    environment = {**os.environ, "RUNBUS_URL": url}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            first = process.stdout.readline() if process.stdout else ""
            yield first.partition(": ")[2].strip(), process.pid
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
