"""The chart of a comparison: how many times as good as each other side."""

# matplotlib leaves some of its arguments without types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.measure import Row

_COLOURS = {"redis-py": "#8a8fa3", "FastStream": "#e09f3e", "docket": "#5b9aa0", "DBOS": "#b0698a"}
_OTHER = "#4f46e5"
_WHOLE_FROM = 10
_TICKS = [0.25, 0.5, 1, 2, 4, 8, 16, 64, 256, 1024]


def write_chart(path: Path, rows: Sequence[Row]) -> None:
    """Write a bar for each row, with the spread of its ratio: to the right, runbus is better."""
    import matplotlib as mpl  # slow to import, and only a chart needs it

    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 0.36 * len(rows) + 1.4), layout="constrained")
    names = [f"{row.name}  ·  {row.versus}" for row in rows]
    for place, row in enumerate(rows):
        middle, low, high = _times_better(row)
        axes.barh(place, middle - 1, left=1, height=0.62, color=_COLOURS.get(row.versus, _OTHER))
        axes.plot([low, high], [place, place], color="#1d1b26", linewidth=1)
        words = f"{middle:,.0f} x" if middle >= _WHOLE_FROM else f"{middle:.2g} x"
        end = (max(middle, high, 1), place)
        axes.annotate(words, end, (5, 0), textcoords="offset points", va="center", fontsize=8)
    axes.axvline(1, color="#1d1b26", linewidth=0.8)
    axes.set(xscale="log", xlabel="times as good as the other (rate, or time the other way round)")
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.invert_yaxis()
    low, high = axes.get_xlim()
    shown = [tick for tick in _TICKS if low <= tick <= high]
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
    axes.minorticks_off()
    axes.set_xlim(low, high * 1.8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=140)
    pyplot.close(figure)


def _times_better(row: Row) -> tuple[float, float, float]:
    """Return the ratio and its spread, turned so that more is better."""
    middle = row.judged
    if row.unit == "/s":
        return middle, row.low, row.high
    return 1 / middle, 1 / row.high, 1 / row.low
