"""Rows about receivers that wait: 1, 1,000 and 20,000 in one process.

How many connections the process holds (CLIENT LIST), how much memory a receiver takes (KB of
resident memory), how long a wake takes (ms, from before another process's XADD until the
receiver's task runs), and how long it takes until all have read again after their connections
were killed (s).
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from benchmarks.child import Child, child
from benchmarks.measure import Goal, Row, compared, limited
from benchmarks.micro.waiting import run_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

    from benchmarks.bench import Bench

SIZES = (1, 1_000, 20_000)
_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.002
_LOOK_AGAIN_SECONDS = 0.002


@dataclass
class Crowd:
    """One process of waiting receivers, seen from outside."""

    size: int
    process: Child
    control: Redis
    bench: Bench
    first: int
    memory: float = 0.0
    """KB for each receiver after the first."""

    def gather(self) -> None:
        """Let all receivers wait."""
        self._add(1)
        before = self.process.ask(["memory"])
        if self.size > 1:
            self._add(self.size - 1)
            self.memory = (self.process.ask(["memory"]) - before) / (self.size - 1) / 1024

    def wakes(self, count: int) -> list[float]:
        """Wake receivers one after the other, chosen at random; return the times in ms."""
        for _ in range(count):
            time.sleep(_PAUSE_SECONDS)
            number = random.randrange(self.size)
            key = self.bench.input_key(run_id_of(self.first, number), "str")
            self.control.xadd(key, {"key": str(uuid4()), "value": f'"{time.monotonic_ns()}"'})
        taken: list[float] = []
        _wait_until(lambda: taken.extend(self.process.ask(["wakes"])) or len(taken) == count)
        return [nanoseconds / 1e6 for nanoseconds in taken]

    def connections(self) -> list[str]:
        """Return the ids of the process's connections, as the server knows them."""
        ports = set(self.process.ask(["ports"]))
        clients: list[Any] = self.control.client_list()
        return [each["id"] for each in clients if int(each["addr"].rpartition(":")[2]) in ports]

    def reconnect(self) -> float:
        """Kill the connections; return the seconds until every receiver has read again."""
        reads = _reads(self.control)
        start = time.perf_counter()
        for connection in self.connections():
            self.control.client_kill_filter(_id=connection)
        _wait_until(lambda: _reads(self.control) >= reads + self.size)
        return time.perf_counter() - start

    def _add(self, count: int) -> None:
        reads = _reads(self.control)
        self.process.ask(["add", count])
        _wait_until(lambda: _reads(self.control) >= reads + count)


def waiting(bench: Bench) -> Iterator[Row]:
    """Connections, memory and wakes, for each size."""
    with ExitStack() as stack:
        crowds = [stack.enter_context(crowd_of(bench, size)) for size in SIZES]
        wakes = [
            [median(crowd.wakes(bench.scaled(60))) for crowd in crowds] for _ in bench.rounds(11)
        ]
        yield from map(_connections_row, crowds)
        yield from map(_memory_row, crowds[1:])
    yield limited("p50 of a wake, waiters: 1", [times[0] for times in wakes], unit="ms")
    for place, size in enumerate(SIZES[1:], 1):
        yield compared(
            f"p50 of a wake, waiters: {size:,}",
            [(times[place], times[0]) for times in wakes],
            unit="ms",
            versus="1 waiter",
            goal=Goal("<=", 2),
        )


def reconnecting(bench: Bench) -> Iterator[Row]:
    """The largest crowd after its connections were killed."""
    with crowd_of(bench, SIZES[-1]) as crowd:
        times = [crowd.reconnect() for _ in bench.rounds(5)]
        crowd.wakes(1)
    yield limited(
        f"{crowd.size:,} waiters read again after a cut", times, unit="s", goal=Goal("<=", 2)
    )


@contextmanager
def crowd_of(bench: Bench, size: int) -> Iterator[Crowd]:
    """Let so many receivers wait in a process of their own."""
    first = (uuid4().int >> 64) << 64
    arguments: dict[str, Any] = {"url": bench.url, "prefix": bench.prefix, "first": first}
    with bench.control() as control, child("micro.waiting", **arguments) as process:
        crowd = Crowd(size, process, control, bench, first)
        crowd.gather()
        crowd.wakes(1)
        yield crowd


def _connections_row(crowd: Crowd) -> Row:
    name = f"connections of the process, waiters: {crowd.size:,}"
    return limited(name, [len(crowd.connections())], goal=Goal("<=", 3))


def _memory_row(crowd: Crowd) -> Row:
    name = f"memory per receiver, waiters: {crowd.size:,}"
    return limited(name, [crowd.memory], unit="KB", goal=Goal("<=", 4))


def _reads(control: Redis) -> int:
    stats: dict[str, Any] = control.info("commandstats")
    return stats.get("cmdstat_xread", {}).get("calls", 0)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the waiting receivers did not get there")
        time.sleep(_LOOK_AGAIN_SECONDS)
