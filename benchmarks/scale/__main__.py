"""`python -m benchmarks.scale`: what one input, receiver or run costs, the more there are.

Where cost is flat, each line of the table says the same figure in every column.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import table
from benchmarks.bench import Bench
from benchmarks.scale import inputs, receivers, report, runs_stored, senders
from benchmarks.server import running_server

if TYPE_CHECKING:
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` is reached
    server = nullcontext(options.url) if options.url else running_server()
    try:
        with server as url:
            bench = Bench(url=url, quick=False, owns_server=not options.url)
            facts = table.machine_facts(url, quick=options.largest is not None)
            grown = [_grow(bench, axis, options.largest) for axis in options.axes]
    except KeyboardInterrupt:
        return 130
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
