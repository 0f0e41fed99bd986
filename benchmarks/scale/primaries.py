"""What a send costs with 1, 3 and 6 primaries: `python -m benchmarks.scale.primaries`.

The same sends, from 100 tasks for each primary to a run of each tag, go in turns to three clusters
without replicas, one of which is a single primary. Told is what each send took: microseconds of
this process, of all primaries together, and of their script alone; and how often a primary had to
read. What all tags share would make a send dearer, the more primaries there are.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid4

from redis import Redis

from benchmarks import table
from benchmarks.bench import SENDER, TEXT, Bench
from benchmarks.measure import compared, limited, rate
from benchmarks.micro.sends import TASKS
from benchmarks.server import running_cluster
from runbus import send_input
from runbus.protocol.keys import TAGS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from benchmarks.measure import Row

PRIMARIES = (1, 3, 6)
SENDS = 10_000
FIGURES = {
    "processor time of the client": "us",
    "processor time of all primaries": "us",
    "time in the script": "us",
    "reads from sockets": "",
}
"""What `Cost` holds, and its units."""


class Cost(NamedTuple):
    """What was spent; divided by the number of sends, on each."""

    client_us: float
    servers_us: float
    """With parsing, sockets and what the nodes tell each other."""
    script_us: float
    reads: float
    """From sockets."""


class Setup:
    """A cluster, and the sends to it."""

    def __init__(self, urls: list[str], *, quick: bool) -> None:
        addresses = ",".join(url.removeprefix("redis://").removesuffix("/0") for url in urls)
        self.bench = Bench(url=f"redis+cluster://{addresses}", quick=quick, owns_server=True)
        self._nodes = [Redis.from_url(url) for url in urls]
        run_ids = cycle(UUID(hex=uuid4().hex[:-2] + tag) for tag in TAGS)
        self._send: Callable[[], Awaitable[object]] = lambda: send_input(
            TEXT, next(run_ids), SENDER
        )

    async def cost(self, sends: int) -> Cost:
        """Send so many for each primary, and return what a send has cost."""
        primaries = len(self._nodes)
        with self.bench.settings():
            before = self._spent()
            await rate(self._send, sends * primaries, TASKS * primaries)
            after = self._spent()
        count = sends * primaries
        return Cost(*((end - start) / count for start, end in zip(before, after, strict=True)))

    def connections(self) -> list[int]:
        """Return how many connections each primary has from runbus."""
        listed: list[list[dict[str, Any]]] = [node.client_list() for node in self._nodes]
        return [sum(each["name"] == "runbus" for each in clients) for clients in listed]

    def _spent(self) -> Cost:
        infos: list[dict[str, Any]] = [node.info("everything") for node in self._nodes]
        return Cost(
            time.process_time() * 1e6,
            sum(each["used_cpu_user"] + each["used_cpu_sys"] for each in infos) * 1e6,
            sum(each.get("cmdstat_evalsha", {}).get("usec", 0) for each in infos),
            sum(each["total_reads_processed"] for each in infos),
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale.primaries", description=__doc__
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller ones")
    parser.add_argument("--sends", type=int, default=SENDS, help="in each round, for each primary")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/primaries.json"))
    options = parser.parse_args()
    with ExitStack() as stack:
        urls = [stack.enter_context(running_cluster(each)) for each in PRIMARIES]
        facts = table.machine_facts(urls[0][0], quick=options.quick)
        setups = [Setup(each, quick=options.quick) for each in urls]
        rows = list(asyncio.run(_measure(setups, options.sends)))
    table.print_header()
    for row in rows:
        table.print_row(row)
    table.write_json(options.json, rows, facts)
    print(f"\nwritten to {options.json}: " + ", ".join(f"{k} {v}" for k, v in facts.items()))


async def _measure(setups: list[Setup], sends: int) -> Iterator[Row]:
    bench, rounds = setups[0].bench, list[list[Cost]]()
    for setup in setups:
        await setup.cost(min(3000, sends))  # connects, and loads the scripts
    for _ in bench.rounds():
        rounds.append([await setup.cost(bench.scaled(sends)) for setup in setups])
    connections = [setup.connections() for setup in setups]
    return _rows(rounds, connections)


def _rows(rounds: list[list[Cost]], connections: list[list[int]]) -> Iterator[Row]:
    for place, (name, unit) in enumerate(FIGURES.items()):
        for number, primaries in enumerate(PRIMARIES[1:], start=1):
            pairs = [(costs[number][place], costs[0][place]) for costs in rounds]
            yield compared(f"{name}, {primaries} primaries", pairs, unit=unit, versus="1 primary")
    for primaries, counts in zip(PRIMARIES, connections, strict=True):
        yield limited(f"connections of each primary, {primaries}", counts)


if __name__ == "__main__":
    main()
