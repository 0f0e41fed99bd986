"""Durability: what must have happened before an input or an answer counts as stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runbus.errors import InvalidArgument


@dataclass(frozen=True)
class Replicated:
    """The memory of the primary and of this many replicas, at least."""

    replicas: int

    def __post_init__(self) -> None:
        if not isinstance(self.replicas, int) or self.replicas < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument("replicas", self.replicas, "pass 1 or more")

    def __str__(self) -> str:
        return f"replicated to {self.replicas}"


Durability = Literal["memory", "fsync"] | Replicated
"""`memory`: the primary has it; `fsync`: it is in the append-only file on the primary's disk."""


def check_durability(durability: object) -> Durability:
    """Return a durability. Raises `InvalidArgument`."""
    if durability in ("memory", "fsync") or isinstance(durability, Replicated):
        return durability
    raise InvalidArgument("durability", durability, "pass 'memory', 'fsync' or Replicated(n)")
