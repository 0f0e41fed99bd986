"""The leases of a process: one in each tag where it has runs.

A lease lies in the slot of the runs that it covers: so each primary fails alone, and one script can
look at a lease and take a run. Every script that gives the process a run makes or extends the one
of that tag. Here they are renewed, and nothing else: recovery and sweeps, which may take long, are
duties of their own.

Time is counted on the boot-time clock. An overdue lease ends nothing by itself.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from runbus.protocol.execution import Owner
from runbus.store.connection import script_calls, scripts
from runbus.store.maintenance.boot_clock import boot_time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runbus.store.bus import Bus

_NEVER = float("-inf")


class Lease:
    """What one process holds on one server."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.owner = Owner(
            process=secrets.token_hex(8), lease=f"{int(seconds * 1000)} {secrets.token_hex(8)}"
        )
        """This process among those that execute runs."""
        self._renewed_at: dict[str, float] = {}
        self._unreconciled: dict[str, float] = {}

    def is_overdue(self, tag: str) -> bool:
        """Whether others may have taken over the runs of this process in a tag."""
        return boot_time() - self._renewed_at.get(tag, _NEVER) > self.seconds

    def is_doubtful(self, tag: str) -> bool:
        """Whether it is not known which runs of a tag this process still has."""
        return tag in self._unreconciled or self.is_overdue(tag)

    def note_granted(self, tag: str, asked_at: float, *, holds_more: bool = True) -> None:
        """Take note that a script has made or extended the lease of a tag.

        Where it was overdue, others may have taken runs, if the process `holds_more` than what it
        was given with this: so it is until that is known.
        """
        if not holds_more:
            self._unreconciled.pop(tag, None)
        elif tag in self._renewed_at and self.is_overdue(tag):
            self._unreconciled[tag] = boot_time()
        self._renewed_at[tag] = max(asked_at, self._renewed_at.get(tag, _NEVER))

    def note_reconciled(self, tag: str, began_at: float) -> None:
        """Take note that what the server says of a tag was read, from a moment on."""
        if self._unreconciled.get(tag, _NEVER) <= began_at:
            self._unreconciled.pop(tag, None)

    async def renew(self, bus: Bus, tags: Iterable[str]) -> tuple[list[str], Exception | None]:
        """Renew the leases of these tags; where there is none, it is made anew.

        Return the tags that were renewed, and why others were not.
        """
        wanted, asked_at = sorted(tags), boot_time()
        keys = [bus.keys.lease(tag, self.owner.process) for tag in wanted]
        calls = (script_calls.renew_lease(lease=key, lease_value=self.owner.lease) for key in keys)
        replies = await bus.primaries.each(*map(scripts.RENEW_LEASE.command, calls))
        renewed: list[str] = []
        error: Exception | None = None
        for tag, reply in zip(wanted, replies, strict=True):
            if isinstance(reply, Exception):
                error = reply
            else:
                self.note_granted(tag, asked_at)
                renewed.append(tag)
        return renewed, error

    async def give_up(self, bus: Bus, tags: Iterable[str]) -> None:
        """End the leases of these tags, so that others need not wait for their end."""
        keys = [bus.keys.lease(tag, self.owner.process) for tag in sorted(tags)]
        await bus.primaries.each(*(("DEL", key) for key in keys))
