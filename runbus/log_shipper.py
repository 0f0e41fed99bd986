"""The log shipper: takes the lines of runs to their log streams, in batches, beside the flows.

It never fails or slows a flow: lines wait in memory, at most so many, and those of a server that
does not answer are dropped.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING
from uuid import UUID

from runbus import bridge
from runbus.errors import RunbusError
from runbus.protocol.printed import one_line
from runbus.store import bus, log

if TYPE_CHECKING:
    from runbus.store.log import Line

BATCH_SECONDS = 0.2
MOST_LINES = 10_000


def prefix_of(name: str) -> str:
    """Return how the lines of a run of this name begin. It asks for no argument."""
    return f"{one_line(name).replace('%', '')}: "


class LogShipper(logging.Handler):
    """A handler of the standard library for records that have a `flow_run_id`."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[tuple[str, Line]] = deque(maxlen=MOST_LINES)
        self._scheduling = Lock()
        self._is_scheduled = False
        self._shipping = asyncio.Lock()
        os.register_at_fork(after_in_child=self._start_afresh)

    def emit(self, record: logging.LogRecord) -> None:
        """Put a line aside, and see to it that it is taken soon."""
        run_id = getattr(record, "flow_run_id", None)
        if run_id is None:
            return
        # The run's own log need not say on each line whose it is.
        message = record.getMessage().removeprefix(prefix_of(getattr(record, "flow_run_name", "")))
        self._lines.append((str(run_id), (record.levelname, message)))
        with self._scheduling:
            first, self._is_scheduled = not self._is_scheduled, True
        if first:
            loop = bridge.background.loop
            loop.call_soon_threadsafe(loop.call_later, BATCH_SECONDS, self._ship_later)

    @property
    def has_lines(self) -> bool:
        """Whether lines wait to be taken, or are under way."""
        return bool(self._lines) or self._shipping.locked()

    async def ship(self) -> None:
        """Take all lines that wait, on the background loop; those under way have arrived, too."""
        self._is_scheduled = False
        async with self._shipping:
            await self._ship_all()

    async def _ship_all(self) -> None:
        batches: dict[str, list[Line]] = {}
        while self._lines:
            run_id, line = self._lines.popleft()
            batches.setdefault(run_id, []).append(line)
        for run_id, lines in batches.items():
            try:
                await log.append(bus.current(), UUID(run_id), lines)
            except RunbusError as error:
                logging.getLogger("runbus").debug("log lines were dropped: %s", error)

    def _ship_later(self) -> None:
        self._task = bridge.background.loop.create_task(self.ship())

    def _start_afresh(self) -> None:
        # The lines are the parent's, which takes them itself.
        self._lines.clear()
        self._scheduling = Lock()
        self._shipping = asyncio.Lock()
        self._is_scheduled = False


shipper = LogShipper()
