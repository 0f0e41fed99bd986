"""What a process knows of a primary that sentinels name: the newest that any of its loops heard.

Sentinels number their decisions. Of two that name different primaries the one with the higher
`config-epoch` is right, which is their own rule; the other one is behind: just after a failover
only one may know of it, and one that was asleep is not told for a while. Meanwhile the former
primary goes on to call itself one, and what it takes then is lost. So an older epoch is not
believed again, whoever names it and whichever loop asks.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Address = tuple[str, int]

UNNUMBERED = -1
"""The epoch of what a sentinel says that does not tell it: older than all that are told."""
FORGET_SECONDS = 10.0
"""How long most sentinels name an older primary until they are believed: they were set up anew."""
FRESH_SECONDS = 0.25
"""How long what one loop was told spares the others to ask."""


@dataclass(frozen=True, kw_only=True)
class Named:
    """What a sentinel says."""

    address: Address
    epoch: int


class KnownPrimary:
    """The primary of one name, for all event loops of a process."""

    def __init__(self) -> None:
        self.address: Address | None = None
        self.is_told_of_right = False
        """Whether somebody was told that the sentinels' user lacks a right."""
        self._epoch = UNNUMBERED
        self._votes: Counter[Address] = Counter()
        self._rejected: set[Address] = set()
        self._learned_at = float("-inf")
        self._denied_at: float | None = None
        self._lock = threading.Lock()

    @property
    def is_fresh(self) -> bool:
        """Whether sentinels were heard a moment ago."""
        return time.monotonic() - self._learned_at < FRESH_SECONDS

    def learn(self, named: Sequence[Named], *, are_most: bool) -> Address:
        """Take in what some sentinels say at one moment; return whom to believe the primary.

        `are_most` says that they are a majority.
        """
        with self._lock:
            self._learned_at = time.monotonic()
            newest = max(each.epoch for each in named)
            if self.address is not None and self._is_behind(newest, are_most=are_most):
                return self.address
            if newest != self._epoch:
                self._epoch = newest
                self._rejected.clear()
            self._votes = Counter(each.address for each in named if each.epoch == newest)
            return self._choose()

    def reject(self, address: Address) -> None:
        """Prefer another that is named in the same epoch: this one was no primary."""
        with self._lock:
            self._rejected.add(address)
            if self._votes and address == self.address:
                self._choose()

    def accept(self, address: Address) -> bool:
        """Note that it is a primary; return whether it is the one to believe in by now."""
        with self._lock:
            self._rejected.discard(address)
            return address == self.address

    def _is_behind(self, epoch: int, *, are_most: bool) -> bool:
        if epoch >= self._epoch:
            self._denied_at = None
            return False
        if not are_most:
            return True
        if self._denied_at is None:
            self._denied_at = self._learned_at
        if self._learned_at - self._denied_at < FORGET_SECONDS:
            return True
        self._denied_at = None
        return False

    def _choose(self) -> Address:
        if self._rejected >= self._votes.keys():
            self._rejected.clear()
        self.address = max(self._votes, key=self._merits)
        return self.address

    def _merits(self, address: Address) -> tuple[bool, int, bool]:
        return address not in self._rejected, self._votes[address], address == self.address


_known: dict[tuple[frozenset[Address], str], KnownPrimary] = {}


def known_primary(sentinels: Iterable[Address], name: str) -> KnownPrimary:
    """Return what this process knows of the primary that these sentinels call so."""
    return _known.setdefault((frozenset(sentinels), name), KnownPrimary())


# A lock that another thread held would stay locked in a child.
os.register_at_fork(after_in_child=_known.clear)
