"""What all scripts are given that may end a run or take it from a process.

They change several indexes of the run's tag, and make keys of runs that they find.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from runbus.store.bus import Bus


class TagArguments(TypedDict):
    """Keys and arguments of such a script, by the names of its header."""

    runs: str
    active: str
    pending: str
    ended: str
    executing: str
    events: str
    tag_base: str
    lifetime_ms: int


def tag_arguments(bus: Bus, tag: str) -> TagArguments:
    """Return what a script is given of a tag."""
    keys = bus.keys
    return {
        "runs": keys.runs(tag),
        "active": keys.active(tag),
        "pending": keys.pending(tag),
        "ended": keys.ended(tag),
        "executing": keys.executing(tag),
        "events": keys.events(tag),
        "tag_base": keys.of_tag(tag),
        "lifetime_ms": bus.lifetime_ms,
    }
