"""What was read of a stream lately: how a place is found again in a stream that lost entries.

A failover may lose the last entries of a stream, also acknowledged ones, and who has read them is
ahead of the stream then. Where the new primary's clock is behind, it gives new entries ids that
are lower than what was read, and where a sender was not answered, it stores an input again that
was read already. So the consumer goes back to the oldest entry that it remembers, and drops
whatever it has seen: by the input's key, or by the entry's id where there is none.
"""

from __future__ import annotations

from collections import deque
from typing import Any

Read = tuple[bytes, list[bytes]]
"""An entry as it was read: its id and its fields."""
BEGINNING = "0-0"


class RecentEntries:
    """The last entries that were read of one stream, at most so many."""

    __slots__ = ("_count", "_entries", "_repeats")

    def __init__(self, most: int) -> None:
        self._entries: deque[tuple[bytes, bytes]] = deque(maxlen=most)
        self._count = 0
        self._repeats: set[bytes] | None = None

    def news(self, entries: list[Any]) -> list[Any]:
        """Return those of the next entries that were not seen, and remember them."""
        repeats = self._repeats
        if repeats is not None:
            entries = [entry for entry in entries if _name(*entry) not in repeats]
        self._count += len(entries)
        self._entries.extend([(entry_id, _name(entry_id, fields)) for entry_id, fields in entries])
        return entries

    def go_back(self) -> tuple[bytes | str, int]:
        """Return the id after which to read again, and how many entries came up to there.

        From now on, `news` drops what was seen.
        """
        self._repeats = {name for _, name in self._entries}
        if self._count == len(self._entries):
            return BEGINNING, 0
        return self._entries[0][0], self._count - len(self._entries) + 1


def _name(entry_id: bytes, fields: list[bytes]) -> bytes:
    # As the library writes inputs, the key comes first; other entries have none.
    return fields[1] if fields and fields[0] == b"key" and fields[1] else entry_id
