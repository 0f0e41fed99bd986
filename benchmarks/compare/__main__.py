"""`python -m benchmarks.compare`: runbus beside redis-py, FastStream, docket and DBOS.

All do the same work in one run on one server, in turns, so that each round gives one ratio. What
each guarantees stands below the table. DBOS takes part where it is installed (`pip install dbos`).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import table
from benchmarks.compare import by_dbos, by_docket, by_faststream, by_redis_py, by_runbus, work
from benchmarks.compare.side import QUESTIONS
from benchmarks.measure import compared
from benchmarks.program import benched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from benchmarks.compare.side import Side
    from benchmarks.measure import Row

_SECONDS = 0.6
_QUICK_SECONDS = 0.05
_WARM_UP_SECONDS = 0.1
_OTHERS = {
    "redis": by_redis_py.side,
    "faststream": by_faststream.side,
    "docket": by_docket.side,
    "dbos": by_dbos.side,
}


def main() -> int:
    """Run the command; return its exit status."""
    options = _parse_options()
    with benched(options.url, quick=options.quick) as bench:
        facts = table.machine_facts(bench.url, quick=options.quick)
        rows = asyncio.run(_compare(bench))
    table.write_json(options.json, rows, facts)
    if options.plot:
        from benchmarks.compare.chart import write_chart  # slow to import

        write_chart(options.plot, rows)
    return 0


async def _compare(bench: Bench) -> list[Row]:
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        begin = [by_runbus.side, *(side for name, side in _OTHERS.items() if find_spec(name))]
        ours, *others = [await stack.enter_async_context(side(bench)) for side in begin]
        table.print_header()
        for each in work.ALL:
            doing = [side for side in others if each.act(side) is not None]
            numbers = await _measure(bench, each, [ours, *doing])
            for row in _rows(each, numbers, doing):
                rows.append(row)
                table.print_row(row)
        _print_guarantees([ours, *others])
    return rows


async def _measure(bench: Bench, each: work.Work, sides: list[Side]) -> list[list[float]]:
    """Return the numbers of each side, one of each round."""
    seconds = _QUICK_SECONDS if bench.quick else _SECONDS
    acts = [act for side in sides if (act := each.act(side)) is not None]
    for act in acts:
        await each.measure(act, _WARM_UP_SECONDS)
    numbers: list[list[float]] = [[] for _ in acts]
    for _ in bench.rounds():
        for act, found in zip(acts, numbers, strict=True):
            found.append(await each.measure(act, seconds))
    return numbers


def _rows(each: work.Work, numbers: list[list[float]], others: list[Side]) -> Iterator[Row]:
    ours, *theirs = numbers
    for side, found in zip(others, theirs, strict=True):
        pairs = [*zip(ours, found, strict=True)]
        yield compared(each.name, pairs, unit=each.unit, versus=side.name)


def _print_guarantees(sides: list[Side]) -> None:
    for question in QUESTIONS:
        print(f"\n{question}")
        for side in sides:
            print(f"  {side.name:<12} {side.guarantees[question]}")


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and shorter ones")
    parser.add_argument("--url", help="a server to use, idle otherwise (default: one of our own)")
    parser.add_argument(
        "--json", type=Path, default=Path("benchmarks/results/compare.json"), metavar="FILE"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the ratios")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
