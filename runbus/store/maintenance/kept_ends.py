"""Kept ends: what ends or releases a run is tried until it is recorded, while the process lives.

All tries carry one token, so however often they are executed, and however late, the run ends once.
Whatever refuses one passes or is mended: full memory, a disk that is full, a missing right, a
server that is away. The flow's code is not executed again for it.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runbus.errors import RunbusError
from runbus.store.connection.backoff import backoff
from runbus.store.maintenance.boot_clock import boot_time
from runbus.store.records import executions

if TYPE_CHECKING:
    from runbus.protocol.execution import Ending
    from runbus.store.bus import Bus

LONGEST_DELAY = 2.0
"""How long (seconds) to wait at most before an end is tried again."""
_log = logging.getLogger("runbus")


@dataclass(kw_only=True, eq=False)
class KeptEnd:
    """An ending until it is recorded."""

    ending: Ending
    recorded: Future[str | None] = field(default_factory=Future[str | None])
    """The state that the run came into; None when another epoch has dropped the end."""
    trouble: Exception | None = None
    """Why it is not recorded yet."""
    kept_at: float = field(default_factory=boot_time)
    """Since when."""
    is_tried: bool = False
    """Whether it is being tried again and again."""
    is_named: bool = False
    """Whether it was said that it is lost."""

    def __str__(self) -> str:
        """Say what is lost with a process that ends now."""
        why = self.trouble or "the server has not answered yet"
        name, state = self.ending.run_name, self.ending.state
        return f"{name}: its end ({state}) was never recorded: {why}"


async def try_once(bus: Bus, end: KeptEnd) -> None:
    """Record an end, unless it is refused or not answered."""
    with suppress(RunbusError):  # who tries on tells why
        await _try(bus, end)


async def _try(bus: Bus, end: KeptEnd) -> None:
    verdict, state = await executions.end(bus, end.ending)
    _settle(end, verdict, state)


async def record(bus: Bus, end: KeptEnd) -> None:
    """Try until an end is recorded, or known to be dropped."""
    for delay in backoff(longest=LONGEST_DELAY):
        await asyncio.sleep(delay)
        try:
            await _try(bus, end)
        except Exception as error:  # whatever it is, the run has ended
            _note_trouble(end, error)
        else:
            return


def _note_trouble(end: KeptEnd, error: Exception) -> None:
    if end.trouble is None:
        _log.warning(
            "%s: its end (%s) is not recorded yet, and kept: %s",
            end.ending.run_name,
            end.ending.state,
            error,
        )
    end.trouble = error


def _settle(end: KeptEnd, verdict: str, state: str) -> None:
    if end.recorded.done():  # by another try
        return
    with suppress(InvalidStateError):  # at this very moment
        _settle_first(end, verdict, state)


def _settle_first(end: KeptEnd, verdict: str, state: str) -> None:
    if verdict == "ENDED":
        if end.trouble is not None:
            _log.info("%s: its end (%s) is recorded now", end.ending.run_name, state)
        end.recorded.set_result(state)
        return
    end.recorded.set_result(None)
    why = "there is no such run any more" if verdict == "MISSING" else f"the run is {state}"
    _log.warning("%s: %s is not recorded: %s", end.ending.run_name, end.ending.state, why)
