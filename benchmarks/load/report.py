"""What is shown of a load test: the line while it runs, the table, the JSON file."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.load.chart import write_chart

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.load.plan import Plan
    from benchmarks.load.processes import Outcome
    from benchmarks.load.tally import Histogram

PERCENTILES = (50, 90, 99, 99.9)
_SHOWN_FAULTS = 20
_COLUMNS = ("ms from the intended time", "count", "per s", *(f"p{each:g}" for each in PERCENTILES))
_LINE = "{:<26}" + "{:>10}" * 7


def print_plan(plan: Plan) -> None:
    """Say what will be done."""
    print(_summary(plan), flush=True)


def watch(seconds: float, done: int, longest: int) -> None:
    """Show how far it is, on a terminal."""
    if sys.stderr.isatty() and seconds > 0:
        line = f"{seconds:5.1f} s {done:>10,} done   longest {longest / 1000:,.1f} ms"
        print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)


def print_outcome(outcome: Outcome) -> None:
    """Print the table and the truth."""
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    print("\n" + _LINE.format(*_COLUMNS, "max"))
    for row in rows(outcome):
        cells = [f"{row['count']:,}", f"{row['per_second']:,.1f}"]
        cells += [_show(row[f"p{each:g}"]) for each in PERCENTILES]
        print(_LINE.format(row["measure"], *cells, _show(row["max"])))
    print()
    if outcome.missed:
        print(f"{outcome.missed:,} operations had not begun {outcome.plan.grace:g} s after the end")
    for name, count in sorted(outcome.errors.items()):
        print(f"{count:,} operations raised {name}")
    print(_truth(outcome), flush=True)


def rows(outcome: Outcome) -> list[dict[str, Any]]:
    """Return a row of each measure; milliseconds."""
    measures = sorted(outcome.tally.measures, key=lambda name: (name != "until begun", name))
    return [{"measure": name, **_figures(outcome, name)} for name in measures]


def write_json(path: Path, outcomes: Sequence[Outcome], facts: dict[str, Any]) -> None:
    """Write all that was found, and what it was found on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tests = [_as_json(outcome) for outcome in outcomes]
    path.write_text(json.dumps({**facts, "tests": tests}, indent=2) + "\n")


def write_plot(path: Path, outcome: Outcome) -> None:
    """Write the chart."""
    write_chart(path, outcome.tally, outcome.plan.rate, _summary(outcome.plan))


def _summary(plan: Plan) -> str:
    if plan.mode in {"send", "roundtrip", "pause"}:
        parties = f"{plan.senders} senders, {plan.runs} runs, {plan.receivers} receivers"
    else:
        parties = f"{plan.senders} senders"
    return (
        f"{plan.mode}: {plan.rate:,.0f}/s for {plan.duration:g} s, {plan.payload:,} bytes; "
        f"{parties}; {plan.processes} + {plan.processes} processes, seed {plan.seed}"
    )


def _figures(outcome: Outcome, measure: str) -> dict[str, float]:
    total = outcome.tally.total(measure)
    return {
        "count": total.get_total_count(),
        "per_second": total.get_total_count() / outcome.plan.duration,
        **_percentiles(total),
        "max": total.get_max_value() / 1000,
    }


def _percentiles(histogram: Histogram) -> dict[str, float]:
    return {f"p{each:g}": histogram.get_value_at_percentile(each) / 1000 for each in PERCENTILES}


def _as_json(outcome: Outcome) -> dict[str, Any]:
    over_time = {
        name: [
            {"second": second, "count": each.get_total_count(), **_percentiles(each)}
            for second, each in outcome.tally.over_time(name).items()
        ]
        for name in outcome.tally.measures
    }
    return {
        "plan": asdict(outcome.plan),
        "rows": rows(outcome),
        "over_time": over_time,
        "missed": outcome.missed,
        "errors": outcome.errors,
        "sent": sum(each.count for each in outcome.sent.values()),
        "unsure": sum(len(each.unsure) for each in outcome.sent.values()),
        "faults": [str(fault) for fault in outcome.faults],
    }


def _truth(outcome: Outcome) -> str:
    unsure = sum(len(each.unsure) for each in outcome.sent.values())
    sent = sum(each.count for each in outcome.sent.values()) - unsure
    if not outcome.faults:
        order = "" if outcome.plan.mode in {"suspend", "deploy"} else " and in order"
        failed = f"; of {unsure:,} whose send failed, none twice" if unsure else ""
        return f"truth: all of {sent:,} arrived exactly once{order}{failed}"
    shown = [f"  {fault}" for fault in outcome.faults[:_SHOWN_FAULTS]]
    if more := len(outcome.faults) - len(shown):
        shown.append(f"  … and {more:,} more")
    return "\n".join(
        [f"TRUTH: of {sent:,} that were sent, {len(outcome.faults):,} faults:", *shown]
    )


def _show(milliseconds: float) -> str:
    return f"{milliseconds:,.2f}" if milliseconds < 100 else f"{milliseconds:,.0f}"
