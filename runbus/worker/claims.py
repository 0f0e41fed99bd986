"""Claims: which runs wait for this worker, and how it takes them.

Hints and sweeps offer runs; as many as there are slots for are claimed together. What is offered
may be another's by then: the claim says so. Nothing of one primary waits for another one.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from runbus.errors import RunbusError
from runbus.store.maintenance.boot_clock import boot_time
from runbus.store.records import executions
from runbus.store.records.executions import MUST_BE_ALONE, ClaimRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from uuid import UUID

    from runbus.background.lease_holder import LeaseHolder
    from runbus.flow_run_context import Slot
    from runbus.places import SlotLimit
    from runbus.protocol.records import FlowRun
    from runbus.store.bus import Bus
    from runbus.supervision.duty import Duty
    from runbus.supervision.supervisor import Supervisor
    from runbus.worker.quarantine import Quarantine

MOST_AT_ONCE = 50
"""How many runs are claimed together at most."""
MOST_OFFERED = 10_000
"""How many runs are remembered; sweeps find the others again."""
PATIENCE_SECONDS = 2.0
"""How long a claim may take before its slot is given back; then it is not known who has the run."""
AWAY_SECONDS = 2.0
"""How long nothing is claimed at a primary after one that failed there."""
IDLE_SECONDS = 2.0
_log = logging.getLogger("runbus")


class Claims:
    """The claims of one worker."""

    def __init__(
        self,
        here: Bus,
        holder: LeaseHolder,
        limits: Mapping[str, SlotLimit],
        quarantine: Quarantine,
        begin: Callable[[FlowRun, Slot], None],
    ) -> None:
        """`begin` executes a run that was claimed."""
        self._here = here
        self._holder = holder
        self._limits = limits
        self._quarantine = quarantine
        self._begin = begin
        self._offered: dict[UUID, str] = {}
        self._woken = asyncio.Event()
        self._away: dict[str, float] = {}
        self._is_closed = False

    def offer(self, run_id: UUID, deployment: str) -> None:
        """Take note that a run of a deployment waits."""
        if deployment in self._limits and len(self._offered) < MOST_OFFERED:
            self._offered.setdefault(run_id, deployment)
            self.wake()

    def wake(self) -> None:
        """Look what can be claimed now."""
        self._woken.set()

    def close(self) -> None:
        """Claim no more."""
        self._is_closed = True

    async def work(self, supervisor: Supervisor, duty: Duty) -> None:
        """Claim what is offered, whenever there are slots for it."""
        while True:
            for address, wanted in self._choose().items():
                work = partial(self._claim, address, wanted)
                supervisor.spawn(work, "a claim")
            duty.beat()
            self._woken.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._woken.wait()

    def _choose(self) -> dict[str, list[tuple[UUID, str, Slot]]]:
        chosen: dict[str, list[tuple[UUID, str, Slot]]] = {}
        for run_id, deployment in list(self._may_be_claimed()):
            slot = self._limits[deployment].try_slot()
            if slot is None:
                if len(set(map(id, self._limits.values()))) == 1:
                    break
                continue
            del self._offered[run_id]
            chosen.setdefault(self._address(run_id), []).append((run_id, deployment, slot))
            if sum(map(len, chosen.values())) == MOST_AT_ONCE:
                self._woken.set()
                break
        return chosen

    def _may_be_claimed(self) -> Iterator[tuple[UUID, str]]:
        if self._is_closed or self._holder.is_full:
            return
        for run_id, deployment in self._offered.items():
            if self._quarantine.allows_alone(run_id):
                yield run_id, deployment
                return
        if self._quarantine.allows_others:
            now = asyncio.get_running_loop().time()
            for run_id, deployment in self._offered.items():
                if self._away.get(self._address(run_id), now) <= now:
                    yield run_id, deployment

    def _address(self, run_id: UUID) -> str:
        return self._here.topology.owner(self._here.keys.run(run_id)).server.address

    async def _claim(self, address: str, wanted: list[tuple[UUID, str, Slot]]) -> None:
        left = {run_id: slot for run_id, _, slot in wanted}
        try:
            with ExitStack() as intents:
                requests = [
                    ClaimRequest(
                        run_id=run_id,
                        deployment=deployment,
                        digits=intents.enter_context(self._holder.intent(run_id)),
                        may_be_alone=self._quarantine.allows_alone(run_id),
                    )
                    for run_id, deployment, _ in wanted
                ]
                for request, reply in zip(requests, await self._ask(requests), strict=True):
                    self._handle(address, request, reply, left)
        finally:
            for slot in left.values():
                slot.close()

    async def _ask(self, requests: list[ClaimRequest]) -> list[Any]:
        asked_at = boot_time()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                replies = await executions.claim(self._here, requests, self._holder.owner)
        except (RunbusError, TimeoutError) as error:
            return [error] * len(requests)
        for request, reply in zip(requests, replies, strict=True):
            if request.is_answered_by(reply):
                self._holder.note_granted(request.run_id, asked_at)
        return replies

    def _handle(
        self, address: str, request: ClaimRequest, reply: Any, left: dict[UUID, Slot]
    ) -> None:
        run_id = request.run_id
        if isinstance(reply, Exception):
            _log.debug("%s was not claimed: %s", run_id, reply)
            self._away[address] = asyncio.get_running_loop().time() + AWAY_SECONDS
            self._offered.setdefault(run_id, request.deployment)
        elif reply == MUST_BE_ALONE:
            self._quarantine.want(run_id)
            self._offered.setdefault(run_id, request.deployment)
        elif reply is None or self._is_closed:
            # While it was closed: nobody executes it here, and reconciliation gives it back.
            self._quarantine.forget(run_id)
        else:
            self._begin(reply, left.pop(run_id))
