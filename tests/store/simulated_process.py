"""A process as the server sees it: the real code of leases, claims, ends and reconciliation.

Its duties are those of a real one, but nothing in it is timed: others decide when they begin.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from simulated_server import LEASE, THIRD, UNIT_MS
from simulated_wire import Asker

from runbus.errors import RunbusError
from runbus.protocol.execution import Ending, Owner
from runbus.protocol.keys import Keys
from runbus.protocol.records import FlowRun
from runbus.store.maintenance.deadlines import expire_overdue
from runbus.store.maintenance.holdings import Holdings
from runbus.store.maintenance.kept_ends import KeptEnd, record
from runbus.store.maintenance.lease import Lease
from runbus.store.maintenance.reconciliation import Reconciliation
from runbus.store.maintenance.recovery import recover_orphaned_runs
from runbus.store.records import executions, pause_opening, pauses, runs

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from simulated_wire import Wire

DEPLOYMENT = "flow/served"
LIFETIME_MS = 7 * 24 * 3600 * 1000
SECONDS = LEASE * UNIT_MS / 1000


class Execution:
    """A run that a simulated process executes."""

    is_waiting = False
    interrupt: BaseException | None = None

    def __init__(self, process: Process, run: FlowRun) -> None:
        self.process = process
        self.run = run
        self.run_id = run.id
        self.epoch = run.epoch
        self.is_busy = False
        """Whether the flow waits for the reply of a verb."""
        self.retry = 0

    def end(self, interrupt: BaseException) -> None:
        self.interrupt = interrupt
        self.process.discard(self)


class Process:
    """One process; a page or a command where it never holds anything."""

    def __init__(
        self, name: str, wire: Wire, clock: Callable[[], int], *, is_worker: bool = True
    ) -> None:
        """`clock` says how many units have passed."""
        self.name = name
        self.wire = wire
        self.clock = clock
        self.is_worker = is_worker
        self.is_alive, self.is_frozen = True, False
        self.is_away = False
        """Whether it has not come back since the server was away."""
        self.away_until = 0
        self.is_suspect = False
        """Whether it has done something since its last renewal for which it may lose its runs."""
        self.renewed_at = self.looked_at = clock()
        self.is_reconciling = False
        self.is_fresh = True
        """Whether it has renewed its leases since the server was last in trouble."""
        asker = Asker(wire, self)
        self.bus: Any = SimpleNamespace(
            commands=asker,
            primaries=asker,
            notifier=asker,
            keys=Keys("runbus"),
            lifetime_ms=LIFETIME_MS,
            settings=SimpleNamespace(lease_seconds=SECONDS, retention_seconds=LIFETIME_MS / 1000),
            loop=SimpleNamespace(time=lambda: 0.0),
            topology=SimpleNamespace(connector=lambda _: SimpleNamespace(live=None)),
            renewed={},
        )
        self._prepare()

    def _prepare(self) -> None:
        self.holdings = Holdings(SECONDS)
        self.lease = Lease(SECONDS)
        self.lease.owner = Owner(process=self.name, lease=f"{LEASE * UNIT_MS} {self.name}")
        self._to_reconcile: set[str] = set()

    @property
    def can_act(self) -> bool:
        return self.is_alive and not self.is_frozen

    @property
    def can_reach(self) -> bool:
        return self.can_act and not self.is_away

    @property
    def is_well(self) -> bool:
        """Whether it does all that it should to keep its runs."""
        return self.can_act and not self.is_suspect

    @property
    def due_at(self) -> int:
        """When it has something to do, if it can."""
        if self.is_away:
            return self.away_until
        at = self.renewed_at + THIRD if self.is_fresh else self.clock()
        return min(at, self.looked_at + THIRD) if self.is_worker else at

    # --- What it holds ---

    def executions(self) -> list[Execution]:
        """The runs that it executes."""
        return self.holdings.executions()  # pyright: ignore[reportReturnType]

    def executes(self, run_id: str, epoch: str) -> bool:
        return any((str(e.run_id), e.epoch) == (run_id, epoch) for e in self.executions())

    def explains(self, run_id: str, epoch: str) -> bool:
        """Whether it knows why the server says that it executes a run."""
        return self.holdings.snapshot("00").explains((UUID(run_id), epoch))

    def keeps(self, run_id: str, epoch: str) -> bool:
        """Whether it has an end of a run that is not recorded."""
        return (UUID(run_id), epoch) in self.holdings.snapshot("00").ends

    def discard(self, execution: Execution) -> None:
        self.holdings.discard(execution)

    # --- Its duties ---

    async def renew(self) -> None:
        """Renew the leases of all tags in which something is held."""
        held = self.holdings.tags()
        renewed, _ = await self.lease.renew(self.bus, held)
        self._to_reconcile |= {*renewed, *(self.holdings.recent_tags() - held)}

    async def reconcile(self) -> None:
        tags, self._to_reconcile = self._to_reconcile, set()
        try:
            done = await Reconciliation(
                bus=self.bus,
                process=self.name,
                holdings=self.holdings,
                keep_again=self._keep_again,
            ).compare(tags)
            # What was not renewed or not compared is so after the next renewal.
            if not tags or set(done) != tags:
                raise RunbusError("not all that was to be compared was")
        except BaseException:
            self._to_reconcile |= tags
            raise

    async def look(self) -> None:
        """Look for the dead, and take what they have."""
        await recover_orphaned_runs(self.bus)

    async def expire(self) -> None:
        await expire_overdue(self.bus)

    # --- Its runs ---

    async def create(self, run_id: UUID, fields: dict[str, str]) -> None:
        """Make a run: one that is executed here, unless it is a deployment's."""
        if "deployment" in fields:
            await runs.create(self.bus, run_id, fields)
            return
        with self.holdings.intent(run_id) as digits:
            run = await runs.create(self.bus, run_id, fields, owner=self.lease.owner, digits=digits)
            if run.epoch.endswith(digits):
                self.holdings.add(Execution(self, run))

    async def claim(self, run_id: UUID) -> None:
        with self.holdings.intent(run_id) as digits:
            wanted = executions.ClaimRequest(
                run_id=run_id, deployment=DEPLOYMENT, digits=digits, may_be_alone=True
            )
            (reply,) = await executions.claim(self.bus, [wanted], self.lease.owner)
            if isinstance(reply, FlowRun):
                self.holdings.add(Execution(self, reply))

    async def adopt(self, found: FlowRun) -> None:
        with self.holdings.intent(found.id) as digits:
            run = await executions.adopt(self.bus, found, self.lease.owner, digits)
            if run is not None:
                self.holdings.add(Execution(self, run))

    def end(self, execution: Execution, state: str) -> Coroutine[Any, Any, None]:
        """End an execution; return what records it."""
        kept = self._keep(execution, state)
        self.discard(execution)
        return self._record(kept)

    async def retry(self, execution: Execution) -> None:
        """Fail, and begin again in the same execution."""
        execution.retry += 1
        execution.is_busy = True
        kept = self._keep(execution, "Pending", retry=execution.retry)
        await self._record(kept)
        if kept.recorded.result() == "Pending":
            run, epoch = execution.run, execution.epoch
            refused_by = await runs.move(self.bus, run, "Running", epoch=epoch)
            assert refused_by != "Running", "a retry is taken for one that is cancelled"
            if refused_by is not None:
                await self.end(execution, "Cancelled")
            execution.is_busy = False
        else:
            self.discard(execution)

    def _keep(self, execution: Execution, state: str, retry: int | None = None) -> KeptEnd:
        ending = Ending(
            run_id=execution.run_id,
            run_name="",
            epoch=execution.epoch,
            deployment=execution.run.deployment_id,
            state=state,
            retry=retry,
        )
        return self._keep_ending(ending)

    def _keep_ending(self, ending: Ending) -> KeptEnd:
        kept = KeptEnd(ending=ending)
        self.holdings.keep(kept)
        return kept

    def _keep_again(self, end: KeptEnd) -> None:
        kept = self._keep_ending(end.ending)
        self.wire.begin(self, self._record(kept))

    async def _record(self, kept: KeptEnd) -> None:
        await record(self.bus, kept)
        self.holdings.settle(kept)

    async def pause(self, execution: Execution, key: str, state: Any, units: int | None) -> None:
        """Ask something, and wait for the answer here or leave."""
        execution.is_busy = True
        try:
            await pause_opening.open_pause(
                *(self.bus, execution.run_id, key, pause_opening.Form()),
                timeout=None if units is None else units * UNIT_MS / 1000,
                retry=execution.retry,
                epoch=execution.epoch,
                state=state,
            )
            if state == "Suspended":
                self.discard(execution)
        finally:
            execution.is_busy = False

    async def answer(self, run_id: UUID) -> None:
        """Answer what a run asks, from a page."""
        run, pause = await pauses.read_pending(self.bus, run_id)
        if pause is not None and pause.state == "pending":
            await pauses.answer(self.bus, run, pause, b"null", "somebody")

    async def check(self, run_id: UUID) -> None:
        """Look whether the process of a run lives, from a page."""
        await executions.check_owner(self.bus, await runs.read(self.bus, run_id))

    async def cancel(self, run_id: UUID) -> None:
        run = await runs.read(self.bus, run_id)
        after = ("Pending", "Scheduled", "Suspended")
        if await runs.move(self.bus, run, "Cancelled", after=after) is not None:
            await runs.move(self.bus, run, "Cancelling")


async def one_after_another(works: Iterable[Coroutine[Any, Any, Any]], *_: Any, **__: Any) -> Any:
    """What is done at once elsewhere, in the task whose calls the wire executes one at a time."""
    return [await work for work in works]
