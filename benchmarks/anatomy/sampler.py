"""A sampler: where this process's processor time goes, by the function that was executing.

A timer that counts processor time (`ITIMER_PROF`) interrupts the program a few hundred times a
second, and each time the innermost frame is noted. What C code took is noted for the Python
function that called it. Unlike a tracing profiler, it leaves cheap calls cheap.
"""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_EVERY_SECONDS = 0.002
_PARTS = (
    ("the program that calls", ("benchmarks/",)),
    ("encode, decode, validate", ("runbus/protocol/", "pydantic")),
    (
        "verbs: arguments, keys, who sends",
        ("runbus/input/", "runbus/execution/", "runbus/background/"),
    ),
    (
        "order and exactly once",
        ("store/sending/", "receiving/recent_entries", "connection/scripts"),
    ),
    ("waiting and waking", ("store/receiving/",)),
    ("the wire: packing, parsing", ("store/connection/", "store/commands", "store/topology/")),
    ("other parts of runbus", ("runbus/",)),
    ("system calls", ("asyncio/selector_events", "selectors.py", "asyncio/transports")),
    ("event loop, tasks, futures", ("asyncio/", "concurrent/")),
)
_ELSEWHERE = "elsewhere"


@dataclass
class Samples:
    """What was seen."""

    functions: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """(file, function) → how often."""

    def parts(self) -> dict[str, float]:
        """Return the share of each part, all of them together 1."""
        found: Counter[str] = Counter()
        for (file, _), count in self.functions.items():
            found[_part_of(file)] += count
        total = max(1, found.total())
        return {part: count / total for part, count in found.most_common()}

    def costliest(self, count: int) -> dict[str, float]:
        """Return the functions that took most, with their shares."""
        total = max(1, self.functions.total())
        return {
            f"{Path(file).stem}.{function}": found / total
            for (file, function), found in self.functions.most_common(count)
        }


@contextmanager
def sampled() -> Iterator[Samples]:
    """Sample the main thread during the block."""
    samples = Samples()

    def note(_: int, frame: FrameType | None) -> None:
        if frame is not None:
            code = frame.f_code
            samples.functions[code.co_filename, code.co_name] += 1

    before = signal.signal(signal.SIGPROF, note)
    signal.setitimer(signal.ITIMER_PROF, _EVERY_SECONDS, _EVERY_SECONDS)
    try:
        yield samples
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _part_of(file: str) -> str:
    for part, places in _PARTS:
        if any(place in file for place in places):
            return part
    return _ELSEWHERE
