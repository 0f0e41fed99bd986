"""The printed table of an axis."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Growth:
    """What was measured along one axis."""

    name: str
    costs: dict[int, dict[str, float]] = field(default_factory=dict[int, dict[str, float]])
    """Size → what it costs, with its unit → how much for one."""

    def names(self) -> list[str]:
        """Return what was measured at any size."""
        return [*dict.fromkeys(name for costs in self.costs.values() for name in costs)]

    def line(self, name: str) -> dict[int, float]:
        """Return one cost at each size at which it was measured."""
        return {size: costs[name] for size, costs in self.costs.items() if name in costs}


def print_growth(growth: Growth) -> None:
    """Print a line for each cost, a column for each size, and the highest by the lowest."""
    sizes = [*growth.costs]
    print("\n" + _row(growth.name, [f"{size:,}" for size in sizes], "highest/lowest"))
    print("-" * (64 + 11 * len(sizes)))
    for name in growth.names():
        line = growth.line(name)
        spread = max(line.values()) / max(min(line.values()), 1e-9)
        print(_row(name, [_show(line.get(size)) for size in sizes], f"{spread:.1f} x"), flush=True)


def _row(name: str, cells: list[str], last: str) -> str:
    return f"{name:<48}" + "".join(f"{cell:>11}" for cell in cells) + f"{last:>16}"


def _show(number: float | None) -> str:
    if number is None:
        return ""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
