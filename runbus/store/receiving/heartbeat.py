"""The heartbeat of a connection that waits: proves that pushes still come through.

A key is read on the connection every half of the shortest `poll_interval` that anyone waits
with. An answer proves that no earlier push was lost, as replies and pushes keep their order. A
missing one, half an interval later, ends the connection, and everybody reads anew on the next.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.store.connection.connection import Connection
    from runbus.store.connection.reconnecting_connection import ReconnectingConnection

SHORTEST_SECONDS = 0.25


class Heartbeat:
    """Beats while anyone waits. `key` names a key to read."""

    def __init__(self, connection: ReconnectingConnection, key: Callable[[], bytes]) -> None:
        self._connection = connection
        self._key = key
        self._poll_intervals: dict[float, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._unanswered: Connection | None = None
        self._loop = asyncio.get_running_loop()

    def start(self, poll_interval: float) -> None:
        """Beat for one more who waits, at least every half of the interval (seconds)."""
        count = self._poll_intervals.get(poll_interval, 0)
        self._poll_intervals[poll_interval] = count + 1
        if not count:
            self._schedule()

    def stop(self, poll_interval: float) -> None:
        """Beat for one less."""
        count = self._poll_intervals[poll_interval] - 1
        if count:
            self._poll_intervals[poll_interval] = count
        else:
            del self._poll_intervals[poll_interval]

    def _schedule(self) -> None:
        interval = max(SHORTEST_SECONDS, min(self._poll_intervals) / 2)
        due = self._loop.time() + interval
        if self._timer is not None:
            if due >= self._due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = self._loop.call_at(due, self._beat)

    def _beat(self) -> None:
        self._timer = None
        if not self._poll_intervals:
            return
        live = self._connection.live
        if live is not None and live is self._unanswered:
            live.close()
        elif live is not None:
            self._unanswered = live
            live.send(("GET", self._key()), self._on_reply)
        self._schedule()

    def _on_reply(self, _: Any) -> None:
        self._unanswered = None
