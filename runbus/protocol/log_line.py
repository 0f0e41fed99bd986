"""A line of a run's log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbus.protocol.entries import fields_by_name, time_of

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One line that a run logged."""

    id: str
    """Its place in the log: `<milliseconds>-<number>`. To read on after it, pass it as `after`."""
    time: datetime
    """When the server got it."""
    level: str
    """`INFO`, for example."""
    message: str


def read_log_line(entry_id: bytes, fields: list[bytes]) -> LogLine:
    """Read a line, whoever wrote it."""
    found = fields_by_name(fields)
    return LogLine(
        id=entry_id.decode(),
        time=time_of(entry_id),
        level=found.get("level", ""),
        message=found.get("message", ""),
    )
