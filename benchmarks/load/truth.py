"""The check of the truth: what was sent was received exactly once, and in order.

Senders number what they send to each target. A receiver notes the numbers as they come, as spans:
all of a million that come in order is one span.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


class Link(NamedTuple):
    """From whom to whom."""

    source: str
    target: str


@dataclass
class Sent:
    """What a source sent to a target: the numbers from 0."""

    count: int = 0
    unsure: list[int] = field(default_factory=list)
    """Those whose send raised an error: they may have arrived, but not twice."""


@dataclass
class Spans:
    """Numbers in the order in which they came."""

    spans: list[list[int]] = field(default_factory=list)

    def add(self, number: int) -> None:
        """Note a number."""
        if self.spans and self.spans[-1][1] + 1 == number:
            self.spans[-1][1] = number
        else:
            self.spans.append([number, number])

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers."""
        for first, last in self.spans:
            yield from range(first, last + 1)

    def is_all_of(self, count: int) -> bool:
        """Whether it is 0, 1, … `count` - 1."""
        return self.spans == ([[0, count - 1]] if count else [])


@dataclass(frozen=True)
class Fault:
    """One input with which something is wrong."""

    kind: str
    """lost, doubled, reordered, or unknown: received and never sent."""
    link: Link
    reader: str
    number: int

    def __str__(self) -> str:
        """Say which."""
        return (
            f"{self.kind}: number {self.number} from {self.link.source} to {self.link.target}, "
            f"at {self.reader}"
        )


def check(
    sent: Mapping[Link, Sent],
    got: Mapping[tuple[str, Link], Spans],
    readers: Mapping[str, Sequence[str]],
    *,
    ordered: bool = True,
) -> list[Fault]:
    """Return all faults. `readers` says for each target who receives all that is sent to it."""
    faults: list[Fault] = []
    for link, what in sent.items():
        for reader in readers[link.target]:
            spans = got.get((reader, link), Spans())
            if not spans.is_all_of(what.count):  # mostly it is: nothing to unfold
                found = _faults(what, spans, ordered=ordered)
                faults += (Fault(kind, link, reader, number) for kind, number in found)
    for (reader, link), spans in got.items():
        if link not in sent:
            faults += (Fault("unknown", link, reader, number) for number in spans)
    return faults


def _faults(sent: Sent, numbers: Iterable[int], *, ordered: bool) -> Iterator[tuple[str, int]]:
    seen: Counter[int] = Counter()
    highest = -1
    for number in numbers:
        seen[number] += 1
        if number >= sent.count or number < 0:
            yield "unknown", number
        elif seen[number] > 1:
            yield "doubled", number
        elif ordered and number < highest:
            yield "reordered", number
        highest = max(highest, number)
    unsure = set(sent.unsure)
    for number in range(sent.count):
        if not seen[number] and number not in unsure:
            yield "lost", number
