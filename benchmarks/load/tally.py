"""How long things took: HDR histograms in µs, one of each interval of the test and each measure."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Protocol, cast

from hdrh.histogram import HdrHistogram

if TYPE_CHECKING:
    from collections.abc import Mapping

    Encoded = Mapping[str, Mapping[str, str]]

_HIGHEST = 3600 * 10**6
_DIGITS = 3


class Histogram(Protocol):
    """What is used of an `HdrHistogram`, which has no types."""

    def record_value(self, value: int, count: int = 1) -> bool:
        """Count a value so many times."""
        ...

    def add(self, other_hist: Histogram) -> None:
        """Add another one's counts."""
        ...

    def encode(self) -> bytes:
        """Return it as text, compressed."""
        ...

    def decode_and_add(self, encoded_histogram: str) -> None:
        """Add the counts of one that was encoded."""
        ...

    def get_value_at_percentile(self, percentile: float) -> int:
        """Return the value that so many percent are not above."""
        ...

    def get_total_count(self) -> int:
        """Return how many values it has."""
        ...

    def get_max_value(self) -> int:
        """Return the highest value."""
        ...


def _empty() -> Histogram:
    return cast("Histogram", HdrHistogram(1, _HIGHEST, _DIGITS))


class Tally:
    """Latencies by what was measured and when it was over. They count from the intended time."""

    def __init__(self, interval: float, start: int = 0) -> None:
        self.start = start
        """The start of the test (`time.monotonic_ns`)."""
        self.interval = interval
        """Seconds."""
        self.longest = 0
        """The longest so far, in µs."""
        self._histograms: dict[str, dict[int, Histogram]] = {}
        # A histogram takes some microseconds to count a value: that waits until the test is over.
        self._counts: defaultdict[tuple[str, int], Counter[int]] = defaultdict(Counter)

    def record(self, measure: str, due: int) -> None:
        """Note that something is over, which was due at that moment (`time.monotonic_ns`).

        What was due before the start, in the warm-up, does not count.
        """
        if due < self.start:
            return
        now = time.monotonic_ns()
        took = min(max((now - due) // 1000, 1), _HIGHEST)
        self._counts[measure, int((now - self.start) / 1e9 / self.interval)][took] += 1
        self.longest = max(self.longest, took)

    @property
    def measures(self) -> list[str]:
        """What was measured."""
        return list(self._counted())

    def total(self, measure: str) -> Histogram:
        """Return the histogram of a measure over the whole time."""
        total = _empty()
        for histogram in self._counted().get(measure, {}).values():
            total.add(histogram)
        return total

    def over_time(self, measure: str) -> dict[float, Histogram]:
        """Return the histograms of a measure by the second at which their interval begins."""
        found = self._counted().get(measure, {})
        return {index * self.interval: found[index] for index in sorted(found)}

    def encode(self) -> dict[str, dict[str, str]]:
        """Return all of it as JSON values, for `merge` in another process."""
        return {
            measure: {str(index): each.encode().decode() for index, each in histograms.items()}
            for measure, histograms in self._counted().items()
        }

    def merge(self, encoded: Encoded) -> None:
        """Add what another process measured."""
        for measure, histograms in encoded.items():
            mine = self._histograms.setdefault(measure, {})
            for index, text in histograms.items():
                mine.setdefault(int(index), _empty()).decode_and_add(text)

    def _counted(self) -> dict[str, dict[int, Histogram]]:
        for (measure, index), counts in self._counts.items():
            histogram = self._histograms.setdefault(measure, {}).setdefault(index, _empty())
            for value, count in counts.items():
                histogram.record_value(value, count)
        self._counts.clear()
        return self._histograms
