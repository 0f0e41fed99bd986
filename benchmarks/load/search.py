"""The search for the highest rate at which all is still well."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_NEAR = 1.1
_LOWEST = 1.0


def highest_rate(first: float, is_well: Callable[[float], bool]) -> float | None:
    """Return the highest rate found, within a tenth; None if even 1/s is too much.

    From the first rate it doubles, or halves, until one is well and the other is not. Then it
    tries between the two.
    """
    good, bad = None, None
    rate = first
    while good is None or bad is None:
        if is_well(rate):
            good, rate = rate, rate * 2
        else:
            bad, rate = rate, rate / 2
            if good is None and rate < _LOWEST:
                return None
    while bad / good > _NEAR:
        rate = (good * bad) ** 0.5
        if is_well(rate):
            good = rate
        else:
            bad = rate
    return good
