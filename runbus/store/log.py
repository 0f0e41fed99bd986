"""The log stream of a run: its last lines, for whoever looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from runbus.store.bus import Bus

LONGEST_LOG = 10_000
LONGEST_LINE = 8192

Line = tuple[str, str]
"""Level and message."""


async def append(bus: Bus, flow_run_id: UUID, lines: Iterable[Line]) -> None:
    """Add lines to a run's log, whose lifetime begins anew. The oldest of very many are dropped.

    A line may stand there twice when a reply was lost.
    """
    key = bus.keys.log(flow_run_id)
    add = ("XADD", key, "MAXLEN", "~", LONGEST_LOG, "*")
    await bus.requests.commands(
        *((*add, "level", level, "message", message[:LONGEST_LINE]) for level, message in lines),
        ("PEXPIRE", key, bus.lifetime_ms),
    )
