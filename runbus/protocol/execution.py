"""Executions: who may have a run, and how its hold on it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from secrets import token_hex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A process that executes runs."""

    process: str
    """Its name."""
    lease: str
    """What its leases hold: `<ms> <token>`."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How an execution of a run ended."""

    run_id: UUID
    run_name: str
    epoch: str
    deployment: str | None
    state: str
    """The state that the run is to come into; `Left` for one that leaves with its parent."""
    message: str = ""
    result: bytes = field(default=b"", repr=False)
    is_exact: bool = False
    """Whether the result gives back the very value that the flow returned."""
    retry: int | None = None
    """Which retry of the flow follows, in the same execution."""
    token: str = field(default_factory=lambda: token_hex(8))
    """All tries to record it carry this, so that it is recorded once."""

    @property
    def size(self) -> int:
        """How much memory it takes, in bytes, about."""
        return 500 + len(self.message) + len(self.result)
