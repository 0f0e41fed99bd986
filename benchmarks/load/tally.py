"""How long things took: HDR histograms in µs, one of each interval of the test and each measure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, cast

from hdrh.histogram import HdrHistogram

if TYPE_CHECKING:
    from collections.abc import Mapping

    Encoded = Mapping[str, Mapping[str, str]]

_HIGHEST = 3600 * 10**6
_DIGITS = 3


class Histogram(Protocol):
    """What is used of an `HdrHistogram`, which has no types."""

    def record_value(self, value: int) -> bool:
        """Count a value."""
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
        self._measures: dict[str, dict[int, Histogram]] = {}

    def record(self, measure: str, due: int) -> None:
        """Note that something is over, which was due at that moment (`time.monotonic_ns`)."""
        now = time.monotonic_ns()
        took = min(max((now - due) // 1000, 1), _HIGHEST)
        histograms = self._measures.setdefault(measure, {})
        index = int((now - self.start) / 1e9 / self.interval)
        if index not in histograms:
            histograms[index] = _empty()
        histograms[index].record_value(took)
        self.longest = max(self.longest, took)

    @property
    def measures(self) -> list[str]:
        """What was measured."""
        return list(self._measures)

    def total(self, measure: str) -> Histogram:
        """Return the histogram of a measure over the whole time."""
        total = _empty()
        for histogram in self._measures.get(measure, {}).values():
            total.add(histogram)
        return total

    def over_time(self, measure: str) -> dict[float, Histogram]:
        """Return the histograms of a measure by the second at which their interval begins."""
        found = self._measures.get(measure, {})
        return {index * self.interval: found[index] for index in sorted(found)}

    def encode(self) -> dict[str, dict[str, str]]:
        """Return all of it as JSON values, for `merge` in another process."""
        return {
            measure: {str(index): each.encode().decode() for index, each in histograms.items()}
            for measure, histograms in self._measures.items()
        }

    def merge(self, encoded: Encoded) -> None:
        """Add what another process measured."""
        for measure, histograms in encoded.items():
            mine = self._measures.setdefault(measure, {})
            for index, text in histograms.items():
                mine.setdefault(int(index), _empty()).decode_and_add(text)
