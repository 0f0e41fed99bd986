"""`python -m benchmarks.speed`: measure all rows and print the table.

The exit status is 1 if a row misses its goal.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import table
from benchmarks.micro import (
    calls,
    conversations,
    deployments,
    drains,
    idling,
    imports,
    pages,
    pausing,
    recovering,
    resuming,
    sends,
    server_cost,
    waiters,
)
from benchmarks.program import benched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.bench import Bench
    from benchmarks.measure import Row

ROWS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "send": sends.one_at_a_time,
    "send-tasks": sends.many_tasks,
    "send-script": sends.in_a_script,
    "drain-str": drains.texts,
    "drain-model": drains.models,
    "exclude-keys": drains.excluding,
    "conversation": conversations.direct,
    "conversation-1ms": conversations.through_proxy,
    "waiters": waiters.waiting,
    "reconnect": waiters.reconnecting,
    "server-cost": server_cost.sending,
    "stored-bytes": server_cost.storing,
    "run-deployment": deployments.to_results,
    "recovery": recovering.recovering,
    "idle-worker": idling.idling,
    "first-line": deployments.first_lines,
    "resume": resuming.resuming,
    "call": calls.calling,
    "paused": pausing.paused,
    "suspended": pausing.suspended,
    "page": pages.reading,
    "import": imports.importing,
    "help": imports.helping,
    "list": imports.listing,
}


def main() -> int:
    """Run the command; return its exit status."""
    options = _parse_options()
    with benched(options.url, quick=options.quick) as bench:
        facts = table.machine_facts(bench.url, quick=options.quick)
        rows, complete = _measure(bench, options.rows)
    table.write_json(options.json, rows, facts)
    print(f"\nwritten to {options.json}: " + ", ".join(f"{k} {v}" for k, v in facts.items()))
    return 0 if complete and all(row.ok for row in rows) else 1


def _measure(bench: Bench, names: list[str]) -> tuple[list[Row], bool]:
    rows: list[Row] = []
    complete = True
    table.print_header()
    for name in names:
        try:
            for row in ROWS[name](bench):
                rows.append(row)
                table.print_row(row)
        except Exception:
            complete = False
            print(f"{name}: failed\n{traceback.format_exc()}", file=sys.stderr)
        finally:
            bench.clean()
    return rows, complete


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller ones")
    parser.add_argument(
        "--rows", type=_names, default=list(ROWS), metavar="NAME,…", help=", ".join(ROWS)
    )
    parser.add_argument("--url", help="a server to use, idle otherwise (default: one of our own)")
    parser.add_argument(
        "--json", type=Path, default=Path("benchmarks/results/speed.json"), metavar="FILE"
    )
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - ROWS.keys():
        raise argparse.ArgumentTypeError(f"no such row: {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    sys.exit(main())
