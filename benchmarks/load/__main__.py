"""`python -m benchmarks.load`: load a server with what runbus does, and check that all arrives.

The exit status is 1 if something was lost, doubled or reordered, or if an operation failed.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields, replace
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from benchmarks import table
from benchmarks.load import report
from benchmarks.load.plan import MODES, Plan
from benchmarks.load.processes import Outcome, load
from benchmarks.load.search import highest_rate
from benchmarks.program import benched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.bench import Bench

_JUDGED = {
    "send": "until received",
    "roundtrip": "until answered",
    "pause": "until it goes on",
    "suspend": "until it goes on",
    "deploy": "until its result",
}


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options, plan = _parse(words)
    outcomes: list[Outcome] = []
    with benched(options.url, prefix=f"runbus-load-{token_hex(4)}") as bench:
        facts: dict[str, Any] = {"machine": table.machine_facts(bench.url, quick=False)}
        if options.find_max:
            facts["highest_rate"] = _find_max(bench, plan, options.p99, outcomes)
        else:
            outcomes.append(_test(bench, plan))
    if options.json:
        report.write_json(options.json, outcomes, facts)
    if options.plot:
        report.write_plot(options.plot, outcomes[-1])
    failed = any(each.faults or (each.errors and not options.find_max) for each in outcomes)
    return 1 if failed or facts.get("highest_rate", 1) is None else 0


def _test(bench: Bench, plan: Plan) -> Outcome:
    report.print_plan(plan)
    try:
        outcome = load(bench, plan, report.watch)
    finally:
        bench.clean()
    report.print_outcome(outcome)
    return outcome


def _find_max(bench: Bench, plan: Plan, p99: float, outcomes: list[Outcome]) -> float | None:
    def is_well(rate: float) -> bool:
        outcome = _test(bench, replace(plan, rate=rate))
        outcomes.append(outcome)
        if outcome.faults:
            raise SystemExit(1)
        took = outcome.tally.total(_JUDGED[plan.mode]).get_value_at_percentile(99) / 1000
        well = took <= p99 and not outcome.missed and not outcome.errors
        print(f"{'well' if well else 'too much'}: p99 {took:,.2f} ms of {p99:g}\n", flush=True)
        return well

    found = highest_rate(plan.rate, is_well)
    print("no rate is low enough" if found is None else f"the highest rate: {found:,.0f}/s")
    return found


def _parse(words: Sequence[str] | None) -> tuple[argparse.Namespace, Plan]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    usual = Plan()
    parser.add_argument("--url", help="the server (default: one of our own)")
    parser.add_argument("--mode", choices=MODES, default=usual.mode)
    parser.add_argument("--runs", default=usual.runs, type=int, metavar="N")
    parser.add_argument("--senders", default=usual.senders, type=int, metavar="N")
    parser.add_argument("--receivers", type=int, metavar="N", help="default: one of each run")
    parser.add_argument("--rate", type=float, default=usual.rate, help="operations per second")
    parser.add_argument("--duration", type=float, default=usual.duration, help="seconds")
    parser.add_argument(
        "--warm-up",
        default=usual.warm_up,
        type=float,
        metavar="S",
        help="seconds of the same load before that, which are not timed",
    )
    parser.add_argument(
        "--payload", default=usual.payload, type=int, metavar="N", help="bytes of text"
    )
    parser.add_argument(
        "--processes", default=usual.processes, type=int, metavar="N", help="of each side"
    )
    parser.add_argument("--seed", default=usual.seed, type=int, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw a chart, out.png")
    parser.add_argument("--find-max", action="store_true", help="search the highest rate")
    parser.add_argument("--p99", type=float, default=10.0, metavar="MS", help="… with this p99")
    options = parser.parse_args(words)
    if options.receivers is None:
        options.receivers = options.runs
    given: dict[str, Any] = vars(options)
    plan = Plan(**{each.name: given[each.name] for each in fields(Plan)})
    try:
        plan.check()
    except ValueError as error:
        parser.error(str(error))
    return options, plan


if __name__ == "__main__":
    sys.exit(main())
