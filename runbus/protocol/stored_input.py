"""The inputs of a run as they are stored, for whoever looks from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbus.protocol.entries import read_entry, time_of

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class StreamInfo:
    """One input stream of a run."""

    name: str
    """The type of its inputs, or their key prefix."""
    length: int
    """How many inputs it has."""
    unread: int
    """How many of them no receiver has read, as far as the server was told."""


@dataclass(frozen=True, kw_only=True)
class StoredInput:
    """One input, read without receiving it."""

    id: str
    """Its place in the stream: `<milliseconds>-<number>`. To read on after it, pass it as `after`.
    """
    stream: str
    time: datetime
    """When it was stored."""
    key: str
    sender: str | None
    """The run id of the sender, or the text that it passed."""
    value: bytes
    """The value's JSON."""


def read_stored_input(stream: str, entry_id: bytes, fields: list[bytes]) -> StoredInput:
    """Read an input, whoever wrote it."""
    entry = read_entry(entry_id, fields)
    return StoredInput(
        id=entry.id,
        stream=stream,
        time=time_of(entry_id),
        key=entry.key,
        sender=entry.sender,
        value=entry.value or b"",
    )
