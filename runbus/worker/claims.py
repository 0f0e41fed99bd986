"""Claims: which runs wait for this worker, and how it takes them.

Hints and sweeps offer runs; as many as there are slots for are claimed together. What is offered
may be another's by then: the claim says so.

Nothing of one primary waits for another one. So a claim that is not answered soon lends its slots
to others, and while a primary is away, one run at a time is claimed there, without a slot.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from runbus.errors import RightMissing, RunbusError, ServerRefused
from runbus.store.maintenance.boot_clock import boot_time
from runbus.store.records import executions
from runbus.store.records.executions import MUST_BE_ALONE, ClaimRequest
from runbus.worker.lent_slots import LentSlots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from uuid import UUID

    from runbus.background.lease_holder import LeaseHolder
    from runbus.execution.activity import Slot
    from runbus.protocol.records import FlowRun
    from runbus.store.bus import Bus
    from runbus.store.records.executions import ClaimReply
    from runbus.supervision.duty import Duty
    from runbus.supervision.supervisor import Supervisor
    from runbus.worker.limit import SlotLimit
    from runbus.worker.quarantine import Quarantine

MOST_AT_ONCE = 50
"""How many runs are claimed together at most."""
MOST_OFFERED = 10_000
"""How many runs of a deployment are remembered; sweeps find the others again."""
PATIENCE_SECONDS = 2.0
"""How long a claim may take before it is given up; then it is not known who has the run."""
SLOT_SECONDS = 0.25
"""How long it may take before its slots are lent to others."""
AWAY_SECONDS = 2.0
"""How long nothing is claimed at a primary after one that failed there."""
IDLE_SECONDS = 2.0
_log = logging.getLogger("runbus")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A run that is to be claimed, and the slot that it is to have."""

    run_id: UUID
    deployment: str
    slot: Slot


class Claims:
    """The claims of one worker."""

    def __init__(
        self,
        bus: Bus,
        holder: LeaseHolder,
        limits: Mapping[str, SlotLimit],
        quarantine: Quarantine,
        begin: Callable[[FlowRun, Slot], None],
    ) -> None:
        """`begin` executes a run that was claimed."""
        self._bus = bus
        self._holder = holder
        self._limits = limits
        self._quarantine = quarantine
        self._begin = begin
        self._offered: dict[str, dict[UUID, None]] = {name: {} for name in limits}
        self._woken = asyncio.Event()
        self._away: dict[str, float] = {}
        """The primaries that have not answered a claim lately, and when one is tried again."""
        self._under_way = 0
        self._forbidden: Exception | None = None
        """Why nothing can be claimed, as long as this user may not do that."""
        self._is_alone_under_way = False
        self._is_closed = False
        self.has_room = asyncio.Event()
        """Is set while few of the runs that were offered wait."""
        self.has_room.set()

    def offer(self, run_id: UUID, deployment: str) -> None:
        """Take note that a run of a deployment waits."""
        queue = self._offered.get(deployment)
        if queue is not None and len(queue) < MOST_OFFERED:
            queue[run_id] = None
            self.wake()

    def wake(self) -> None:
        """Look what can be claimed now."""
        self._woken.set()

    async def close(self) -> None:
        """Claim no more; return when what is under way has come to its end."""
        self._is_closed = True
        while self._under_way:
            self._woken.clear()
            await self._woken.wait()

    def stop(self) -> None:
        """Claim no more, from any thread."""
        self._is_closed = True

    async def work(self, supervisor: Supervisor, duty: Duty) -> None:
        """Claim what is offered, whenever there are slots for it."""
        while True:
            self._woken.clear()
            for address, wanted in self._by_primary(self._choose()).items():
                self._under_way += 1
                supervisor.spawn(partial(self._claim, address, wanted), "a claim")
            if not any(len(queue) > MOST_AT_ONCE for queue in self._offered.values()):
                self.has_room.set()
            self._tell_how_it_goes(duty)
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._woken.wait()

    def _tell_how_it_goes(self, duty: Duty) -> None:
        is_wanted = self._under_way > 0 or any(self._offered.values())
        if self._forbidden is not None and is_wanted:
            duty.note_failure(self._forbidden)
        else:
            self._forbidden = None
            duty.beat()

    def _by_primary(self, chosen: Iterable[Wanted]) -> dict[str, list[Wanted]]:
        groups: dict[str, list[Wanted]] = {}
        for each in chosen:
            groups.setdefault(self._address(each.run_id), []).append(each)
        return groups

    def _choose(self) -> Iterator[Wanted]:
        """Take slots for runs that were offered: of each deployment in turn, in their order."""
        if self._is_closed or self._holder.is_full:
            return
        if self._is_alone_under_way:
            return
        if (alone := self._choose_alone()) is not None:
            self._is_alone_under_way = True
            yield alone
            return
        if not self._quarantine.allows_others:
            return
        turns = deque((name, iter(list(queue))) for name, queue in self._offered.items() if queue)
        count = 0
        while turns and count < MOST_AT_ONCE:
            name, run_ids = turns.popleft()
            wanted = self._take_slot(name, run_ids)
            if wanted is not None:
                turns.append((name, run_ids))
                count += 1
                yield wanted
        if count == MOST_AT_ONCE:
            self._woken.set()  # there may be more

    def _choose_alone(self) -> Wanted | None:
        for run_id in self._quarantine.wanted() if not self._under_way else ():
            for name, queue in self._offered.items():
                if run_id in queue and self._quarantine.allows_alone(run_id):
                    return self._take_slot(name, iter([run_id]))
        return None

    def _take_slot(self, deployment: str, run_ids: Iterator[UUID]) -> Wanted | None:
        run_id = next((each for each in run_ids if self._may_be_claimed(each)), None)
        slot = None if run_id is None else self._limits[deployment].try_slot()
        if run_id is None or slot is None:
            return None
        del self._offered[deployment][run_id]
        if (address := self._address(run_id)) in self._away:
            self._put_off(address, PATIENCE_SECONDS + AWAY_SECONDS)  # one shows whether it is back
        return Wanted(run_id=run_id, deployment=deployment, slot=slot)

    def _may_be_claimed(self, run_id: UUID) -> bool:
        if not self._quarantine.allows(run_id):
            return False
        until = self._away.get(self._address(run_id))
        return until is None or asyncio.get_running_loop().time() >= until

    def _put_off(self, address: str, seconds: float) -> None:
        self._away[address] = asyncio.get_running_loop().time() + seconds

    def _address(self, run_id: UUID) -> str:
        return self._bus.topology.owner(self._bus.keys.run(run_id)).server.address

    async def _claim(self, address: str, wanted: list[Wanted]) -> None:
        left = {each.run_id: each.slot for each in wanted}
        seconds = 0 if address in self._away else SLOT_SECONDS
        put_off = partial(self._put_off, address, PATIENCE_SECONDS + AWAY_SECONDS)
        lent = LentSlots(left.values(), seconds, put_off)
        try:
            with ExitStack() as intents:
                requests = [self._request(each, intents) for each in wanted]
                replies = await self._ask(requests)
                lent.keep()
                self._note_replies(address, replies)
                for request, reply in zip(requests, replies, strict=True):
                    await self._handle(request, reply, left, lent)
        finally:
            lent.keep()
            self._under_way -= 1
            if not self._under_way:
                self._is_alone_under_way = False
            for slot in left.values():
                slot.close()
            self.wake()

    def _request(self, wanted: Wanted, intents: ExitStack) -> ClaimRequest:
        return ClaimRequest(
            run_id=wanted.run_id,
            deployment=wanted.deployment,
            digits=intents.enter_context(self._holder.intent(wanted.run_id)),
            may_be_alone=self._is_alone_under_way,
        )

    async def _ask(self, requests: list[ClaimRequest]) -> Sequence[ClaimReply]:
        asked_at = boot_time()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                replies = await executions.claim(self._bus, requests, self._holder.owner)
        except (RunbusError, TimeoutError) as error:
            return [error] * len(requests)
        for request, reply in zip(requests, replies, strict=True):
            if request.is_answered_by(reply):
                self._holder.note_granted(request.run_id, asked_at)
        return replies

    def _note_replies(self, address: str, replies: Sequence[ClaimReply]) -> None:
        if any(isinstance(reply, Exception) for reply in replies):
            self._put_off(address, AWAY_SECONDS)
        else:
            self._away.pop(address, None)

    async def _handle(
        self, request: ClaimRequest, reply: ClaimReply, left: dict[UUID, Slot], lent: LentSlots
    ) -> None:
        run_id = request.run_id
        if isinstance(reply, Exception):
            self._note_not_claimed(run_id, reply)
            self.offer(run_id, request.deployment)
        elif reply == MUST_BE_ALONE:
            self._quarantine.want(run_id)
            self.offer(run_id, request.deployment)
        elif reply is None or isinstance(reply, str):
            self._quarantine.forget(run_id)
        elif not await lent.regain(left[run_id]) or self._is_closed:
            process = self._holder.owner.process
            await executions.release(self._bus, run_id, request.deployment, reply.epoch, process)
            self.offer(run_id, request.deployment)
        else:
            self._forbidden = None
            self._begin(reply, left.pop(run_id))

    def _note_not_claimed(self, run_id: UUID, error: Exception) -> None:
        if isinstance(error, ServerRefused):
            _log.warning("%s cannot be claimed: %s", run_id, error)  # a sweep offers it again
            self._forbidden = error if isinstance(error, RightMissing) else None
        else:
            _log.debug("%s was not claimed: %s", run_id, error)
