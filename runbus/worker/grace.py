"""The grace time: how long a worker that is told to end waits for its runs, and what it says of it.

It begins with the first signal. When it is over, what still executes is handed back; the end of a
run that is not recorded then is named when the process ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.store.maintenance.kept_ends import KeptEnd

TELL_SECONDS = 1.0
"""How long an end may take to be recorded before it is told that it is waited for."""
_AT_ONCE = "again (Ctrl-C, SIGTERM) to end at once"
_log = logging.getLogger("runbus.flow_runs")


class Grace:
    """The grace time of one worker."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None

    def begin(self) -> None:
        """Let it begin, unless it has."""
        if self._until is None:
            self._until = time.monotonic() + self._seconds

    @property
    def left(self) -> float:
        """How much of it is left, in seconds."""
        return self._seconds if self._until is None else max(0.0, self._until - time.monotonic())

    def tell_of_runs(self, count: int) -> None:
        """Say how many runs may go on."""
        if count:
            runs = f"{count} run{'' if count == 1 else 's'}"
            _log.info("ending: %s may go on for %g s; %s", runs, self._seconds, _AT_ONCE)

    async def tell_of_ends(self, kept_ends: Callable[[], list[KeptEnd]]) -> None:
        """Say which ends are not recorded yet, of each once, until this is cancelled."""
        told: set[KeptEnd] = set()
        while True:
            known = set(kept_ends())
            await asyncio.sleep(TELL_SECONDS)
            late = [end for end in kept_ends() if end in known and end not in told]
            told.update(late)
            if late:
                names = ", ".join(f"{end.ending.run_name} ({end.ending.state})" for end in late)
                _log.warning(
                    "ending: not recorded yet: %s; tried for %.0f s more; %s",
                    *(names, self.left, _AT_ONCE),
                )
