"""`python -m benchmarks.scale`: what one input, receiver or run costs, the more there are.

Where cost is flat, each line of the table says the same figure in every column.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import table
from benchmarks.program import benched
from benchmarks.scale import inputs, receivers, report, runs_stored, senders

if TYPE_CHECKING:
    from benchmarks.bench import Bench
    from benchmarks.scale.axis import Axis
    from benchmarks.scale.report import Growth

AXES = {
    axis.name: axis
    for module in (inputs, receivers, runs_stored, senders)
    for axis in module.axes()
}


def main() -> int:
    """Run the command; return its exit status."""
    options = _parse_options()
    with benched(options.url) as bench:
        facts = table.machine_facts(bench.url, quick=options.largest is not None)
        grown = [_grow(bench, axis, options.largest) for axis in options.axes]
    options.json.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": facts, "axes": {each.name: each.costs for each in grown}}
    options.json.write_text(json.dumps(content, indent=2) + "\n")
    if options.plot:
        from benchmarks.scale.chart import write_chart  # slow to import

        write_chart(options.plot, grown)
    return 0


def _grow(bench: Bench, axis: Axis, largest: int | None) -> Growth:
    growth = report.Growth(name=axis.name)
    for size in axis.up_to(largest):
        try:
            growth.costs[size] = axis.measure(bench, size)
        finally:
            bench.clean()
        print(f"{axis.name}: {size:,} measured", file=sys.stderr)
    report.print_growth(growth)
    return growth


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    names = ", ".join(AXES)
    parser.add_argument(
        "--axes", type=_axes, default=[*AXES.values()], metavar="NAME,…", help=names
    )
    parser.add_argument("--largest", type=int, metavar="N", help="go no further than this size")
    parser.add_argument("--url", help="a server to use, idle otherwise (default: one of our own)")
    parser.add_argument(
        "--json", type=Path, default=Path("benchmarks/results/scale.json"), metavar="FILE"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it, both axes logarithmic")
    return parser.parse_args()


def _axes(text: str) -> list[Axis]:
    names = [name.strip() for name in text.split(",")]
    if unknown := set(names) - AXES.keys():
        raise argparse.ArgumentTypeError(f"no such axis: {', '.join(sorted(unknown))}")
    return [AXES[name] for name in names]


if __name__ == "__main__":
    sys.exit(main())
