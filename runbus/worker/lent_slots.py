"""Lent slots: a claim that is not answered soon lets other runs execute in its slots.

Whoever has a run by then waits for its slot as a run does that goes on after a wait: before those
that are new.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runbus.execution.activity import Slot

REGAIN_SECONDS = 2.0
"""How long runs that were claimed wait for their slots before they are handed back."""


class LentSlots:
    """The slots of runs that are being claimed, on their event loop."""

    def __init__(
        self, slots: Iterable[Slot], seconds: float, on_lend: Callable[[], object]
    ) -> None:
        """Lend them after so many seconds, at once for 0, unless they are kept before."""
        self._slots = [*slots]
        self._on_lend = on_lend
        self._are_lent = False
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        if seconds == 0:
            self._lend()
        else:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._lend)

    def _lend(self) -> None:
        self._are_lent = True
        self._on_lend()
        for slot in self._slots:
            slot.activity.begin_wait()

    def keep(self) -> None:
        """Lend them no more: who has a run by now wants its slot."""
        if self._timer is not None:
            self._timer.cancel()
        self._deadline = asyncio.get_running_loop().time() + REGAIN_SECONDS

    async def regain(self, slot: Slot) -> bool:
        """Have one of them again, if it was lent; return whether it is to be had soon."""
        if not self._are_lent:
            return True
        slot.activity.end_wait()
        try:
            async with asyncio.timeout_at(self._deadline):
                await slot.activity.has_slot()
        except TimeoutError:
            return False
        return True
