"""The log shipper: takes the lines of runs to their log streams, in batches, beside the flows.

It never fails or slows a flow: lines wait in memory, at most so many, and those of a server that
does not answer are dropped.
"""

from __future__ import annotations

import asyncio
import logging
import os
from threading import Lock
from typing import TYPE_CHECKING
from uuid import UUID

from runbus.background.background_loop import background
from runbus.errors import RunbusError
from runbus.protocol.entries import storable
from runbus.protocol.printed import one_line
from runbus.store.bus import current_bus
from runbus.store.records import logs
from runbus.supervision import tasks

if TYPE_CHECKING:
    from runbus.store.records.logs import Line

BATCH_SECONDS = 0.2
MOST_LINES = 10_000


def prefix_of(name: str) -> str:
    """Return how the lines of a run of this name begin. It asks for no argument."""
    return f"{one_line(name).replace('%', '')}: "


class LogShipper(logging.Handler):
    """A handler of the standard library for records that have a `flow_run_id`."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[str, list[Line]] = {}
        self._count = 0
        self._under_way: frozenset[str] = frozenset()
        self._changing = Lock()
        self._is_scheduled = False
        self._shipping = asyncio.Lock()
        os.register_at_fork(after_in_child=self._start_afresh)

    def emit(self, record: logging.LogRecord) -> None:
        """Put a line aside, and see to it that it is taken soon."""
        run_id = getattr(record, "flow_run_id", None)
        if run_id is None:
            return
        try:
            said = storable(record.getMessage())
        except Exception:  # its arguments do not fit: the caller is not to fail for a line
            self.handleError(record)
            return
        # The run's own log need not say on each line whose it is.
        message = said.removeprefix(prefix_of(getattr(record, "flow_run_name", "")))
        with self._changing:
            self._lines.setdefault(str(run_id), []).append((record.levelname, message))
            self._count += 1
            if self._count > MOST_LINES:
                self._drop_oldest()
            first, self._is_scheduled = not self._is_scheduled, True
        if first:
            loop = background.loop
            loop.call_soon_threadsafe(loop.call_later, BATCH_SECONDS, self._ship_later)

    def take(self, run_id: UUID) -> list[Line]:
        """Take the lines of a run that wait: who takes them sees to their way."""
        with self._changing:
            lines = self._lines.pop(str(run_id), [])
            self._count -= len(lines)
        return lines

    def is_under_way(self, run_id: UUID) -> bool:
        """Whether lines of a run are on their way."""
        return str(run_id) in self._under_way

    async def ship(self) -> None:
        """Take all lines that wait, on the background loop; those under way have arrived, too."""
        self._is_scheduled = False
        async with self._shipping:
            await self._ship_all()

    async def _ship_all(self) -> None:
        with self._changing:
            batches, self._lines, self._count = self._lines, {}, 0
            self._under_way = frozenset(batches)
        try:
            for run_id, lines in batches.items():
                await self._ship_some(UUID(run_id), lines)
        finally:
            self._under_way = frozenset()

    async def _ship_some(self, run_id: UUID, lines: list[Line]) -> None:
        try:
            await logs.append(current_bus(), run_id, lines)
        except RunbusError as error:
            logging.getLogger("runbus").debug("log lines were dropped: %s", error)

    def _drop_oldest(self) -> None:
        run_id, lines = next(iter(self._lines.items()))
        del lines[0]
        self._count -= 1
        if not lines:
            del self._lines[run_id]

    def _ship_later(self) -> None:
        self._task = tasks.start(self.ship(), background.loop)

    def _start_afresh(self) -> None:
        # The lines are the parent's, which takes them itself.
        self._changing = Lock()
        self._lines, self._count, self._under_way = {}, 0, frozenset()
        self._shipping = asyncio.Lock()
        self._is_scheduled = False


shipper = LogShipper()
