"""Quarantine: a run that two processes have died with is executed alone in a third.

Whatever ended a process, all runs that it executed have lost it, and most of them are innocent.
Alone, the guilty one takes nobody with it. A worker that has met such a run takes no other one for
the time of a lease, so that it comes to be alone; when one of its runs takes longer than that, it
works on as before, and tries again later.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from runbus.errors import RunbusError
from runbus.store.maintenance import recovery
from runbus.store.records import executions
from runbus.supervision import tasks

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from runbus.execution.activity import Slot
    from runbus.protocol.records import FlowRun
    from runbus.store.bus import Bus

EVERY_LEASES = 10
"""Every how many lease times a worker stands still for the time of one, to become empty."""


class Quarantine:
    """Decides which runs a worker may take beside those that it executes.

    `on_end` is called when it may take others again.
    """

    def __init__(self, lease_seconds: float, on_end: Callable[[], None]) -> None:
        self._lease_seconds = lease_seconds
        self._on_end = on_end
        self._slots: dict[UUID, Slot] = {}
        self._probations: dict[UUID, asyncio.Task[None]] = {}
        self._alone: UUID | None = None
        self._wanted_since: dict[UUID, float] = {}

    @property
    def allows_others(self) -> bool:
        """Whether a run that need not be alone may be taken now."""
        is_alone = self._alone is not None and self._slots[self._alone].is_held
        return not is_alone and not any(map(self._is_wanted, self._wanted_since))

    def wanted(self) -> list[UUID]:
        """Return the runs that wait to be executed alone."""
        return list(self._wanted_since)

    def allows(self, run_id: UUID) -> bool:
        """Whether nothing is known against taking this run: that it has to be alone, and is not."""
        return run_id not in self._wanted_since or self.allows_alone(run_id)

    def allows_alone(self, run_id: UUID) -> bool:
        """Whether a run that has to be alone may be taken now."""
        return run_id in self._wanted_since and not any(
            slot.is_held for slot in self._slots.values()
        )

    def want(self, run_id: UUID) -> None:
        """Take note that a run has to be alone."""
        self._wanted_since.setdefault(run_id, time.monotonic())

    def forget(self, run_id: UUID) -> None:
        """Take note that a run waits no more: somebody has taken or cancelled it."""
        if self._wanted_since.pop(run_id, None) is not None:
            self._on_end()

    def begin(self, bus: Bus, run: FlowRun, slot: Slot) -> None:
        """Take note that a run begins, alone if it has to be."""
        self._slots[run.id] = slot
        if run.crash_count >= executions.CRASHES_IN_COMPANY:
            self._alone = run.id
        if run.crash_count:
            self._probations[run.id] = tasks.start(self._probation(bus, run))

    def end(self, run_id: UUID) -> None:
        """Take note that a run that has begun is not executed here any more."""
        self._slots.pop(run_id, None)
        if (probation := self._probations.pop(run_id, None)) is not None:
            probation.cancel()
        self._end(run_id)

    async def _probation(self, bus: Bus, run: FlowRun) -> None:
        # A run that goes on for days is not to be crashed by what happens once a week.
        await asyncio.sleep(recovery.PROBATION_LEASES * self._lease_seconds)
        with suppress(RunbusError):  # then it is executed alone once more
            await executions.reset_crashes(bus, run.id, run.epoch)
        self._end(run.id)

    def _end(self, run_id: UUID) -> None:
        self.forget(run_id)
        if self._alone == run_id:
            self._alone = None
            self._on_end()

    def _is_wanted(self, run_id: UUID) -> bool:
        waited = (time.monotonic() - self._wanted_since[run_id]) / self._lease_seconds
        return waited % EVERY_LEASES < 1
