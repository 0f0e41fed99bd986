"""The chart of a load test: latencies by percentile, and over time latencies and throughput."""

# matplotlib leaves some of its arguments without types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.load.tally import Tally

_TICKS = {1: "0", 10: "90", 100: "99", 1000: "99.9", 10_000: "99.99", 100_000: "99.999"}


def write_chart(path: Path, tally: Tally, rate: float, title: str) -> None:
    """Write the chart of what was measured at an intended rate."""
    import matplotlib as mpl  # slow to import, and only a chart needs it

    mpl.use("agg")
    from matplotlib import pyplot

    figure, (first, second, third) = pyplot.subplots(3, 1, figsize=(9, 11), layout="constrained")
    first.set_title(title, fontsize=9)
    _draw_percentiles(first, tally)
    _draw_latency(second, tally)
    _draw_throughput(third, tally, rate)
    for each in (first, second, third):
        each.grid(alpha=0.3)
        each.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _draw_percentiles(axes: Axes, tally: Tally) -> None:
    for name in tally.measures:
        total = tally.total(name)
        # No further than there are values.
        steps = range(1 + int(10 * log10(max(total.get_total_count(), 1))))
        tails = [10 ** (-step / 10) for step in steps]
        values = [total.get_value_at_percentile(100 * (1 - tail)) / 1000 for tail in tails]
        axes.plot([1 / tail for tail in tails], values, label=name)
    axes.set(xscale="log", yscale="log", xlabel="percentile", ylabel="ms from the intended time")
    highest = axes.get_xlim()[1]
    shown = {place: text for place, text in _TICKS.items() if place <= highest}
    axes.set_xticks([*shown], [*shown.values()])


def _draw_latency(axes: Axes, tally: Tally) -> None:
    for number, name in enumerate(tally.measures):
        over_time = tally.over_time(name)
        for percentile, style in ((50, "-"), (99, "--")):
            values = [
                each.get_value_at_percentile(percentile) / 1000 for each in over_time.values()
            ]
            label = f"{name}, p{percentile}"
            axes.plot([*over_time], values, style, color=f"C{number}", label=label)
    axes.set(yscale="log", xlabel="seconds", ylabel="ms from the intended time")


def _draw_throughput(axes: Axes, tally: Tally, rate: float) -> None:
    for name in tally.measures:
        over_time = tally.over_time(name)
        counts = [each.get_total_count() / tally.interval for each in over_time.values()]
        axes.step([*over_time], counts, where="post", label=name)
    axes.axhline(rate, color="grey", linestyle=":", label="intended")
    axes.set(xlabel="seconds", ylabel="per second", ylim=(0, None))
