"""The chart of how costs grow: one picture for each axis, both scales logarithmic."""

# matplotlib leaves some of its arguments without types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.scale.report import Growth

_COLUMNS = 2
_STYLES = {"us": "-", "bytes": "--"}


def write_chart(path: Path, grown: Sequence[Growth]) -> None:
    """Write a picture of all axes: what one costs, over how many there are."""
    import matplotlib as mpl  # slow to import, and only a chart needs it

    mpl.use("agg")
    from matplotlib import pyplot

    rows = -(-len(grown) // _COLUMNS)
    figure, places = pyplot.subplots(
        rows, _COLUMNS, figsize=(13, 5.2 * rows), layout="constrained", squeeze=False
    )
    for axes, growth in zip(places.flat, grown, strict=False):
        for name in growth.names():
            line = growth.line(name)
            axes.plot([*line], [*line.values()], _STYLES[name.split()[-1]], marker="o", ms=3,
                      label=name)  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel=growth.name, ylabel="for one, us or bytes")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    for axes in [*places.flat][len(grown) :]:
        axes.set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
