"""A side of the comparison: what one library does for the work that all of them are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Act = Callable[[], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Side:
    """A library, ready to work; None where it does not do such a thing."""

    name: str
    guarantees: dict[str, str]
    """Question → answer, for the table of what each does and does not guarantee."""
    store: Act | None = None
    """Store one message; return once the server has it."""
    exchange: Act | None = None
    """Send a message to a receiver that waits for it; return once it has it."""
    job: Act | None = None
    """Start a job that does nothing in another process, and wait for its result."""
    drain: Act | None = None
    """Receive all of a backlog of `BACKLOG` messages, decoded."""


BACKLOG = 20_000
REPEATED = "a send whose reply was lost"
ORDER = "order"
RESTART = "a receiver that restarts"
CHECKED = "what is checked"
KEPT = "where it is kept"
QUESTIONS = (REPEATED, ORDER, RESTART, CHECKED, KEPT)
