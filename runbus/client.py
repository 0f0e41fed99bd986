"""The client: runs, deployments and workers, as seen from outside of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from runbus import deployments as deployment_verbs
from runbus import flow_runs
from runbus.errors import AmbiguousRun, DeploymentMissing, InvalidArgument, InvalidRunId, RunMissing
from runbus.protocol.entries import check_place, check_text
from runbus.protocol.ids import parse_run_id
from runbus.protocol.run_filter import RunFilter, state_names
from runbus.store.bus import current_bus
from runbus.store.maintenance import owners
from runbus.store.records import (
    deployments,
    events,
    inputs,
    logs,
    pauses,
    pending,
    run_lists,
    runs,
    workers,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from runbus.protocol.deployment_info import DeploymentInfo, WorkerInfo
    from runbus.protocol.durability import Durability
    from runbus.protocol.event import Event
    from runbus.protocol.log_line import LogLine
    from runbus.protocol.records import FlowRun, Pause, StateChange, Waiting
    from runbus.protocol.stored_input import StoredInput, StreamInfo
    from runbus.store.admin.report import ServerReport
    from runbus.store.records.pauses import Resumed

LARGEST_PAGE = 1000
MOST_CANDIDATES = 5
"""How many runs an error names that a text may mean."""


class Client:
    """Reads and steers runs, on the server of the settings.

    Its methods are to be awaited; those that begin with `follow` are to be iterated (`async for`).
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing: the connections are the event loop's."""

    # Runs.

    async def read_flow_run(self, flow_run_id: UUID | str) -> FlowRun:
        """Read a run. Raises `RunMissing`."""
        return await runs.read(current_bus(), parse_run_id(flow_run_id))

    async def find_flow_run(self, text: str) -> FlowRun:
        """Read the run with this id, or that is the only one whose id begins so or of this name.

        Raises `RunMissing`, and `AmbiguousRun` where several would do.
        """
        try:
            return await self.read_flow_run(text)
        except (InvalidRunId, RunMissing):
            found = await self._list(RunFilter(called=check_text("text", text)), MOST_CANDIDATES)
        if not found:
            raise RunMissing(text)
        if len(found) > 1:
            raise AmbiguousRun(text, {run.id: run.name for run in found})
        return found[0]

    async def read_flow_runs(
        self,
        *,
        state: str | Iterable[str] | None = None,
        flow_name: str | None = None,
        deployment_id: str | None = None,
        parent_run_id: UUID | str | None = None,
        text: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int = 200,
        offset: int = 0,
    ) -> list[FlowRun]:
        """List runs, the newest first.

        `state` is the name of a state, or several; `deployment_id` is `flow/name`; `text` is part
        of a run's or a flow's name, or the beginning of a run's id. `limit` is 1,000 at most.
        """
        chosen = RunFilter(
            states=state_names(state),
            flow_name=flow_name,
            deployment_id=deployment_id,
            parent_run_id=None if parent_run_id is None else parse_run_id(parent_run_id),
            text=text,
            created_after=created_after,
            created_before=created_before,
        )
        return await self._list(chosen, limit, offset)

    async def _list(self, chosen: RunFilter, limit: int, offset: int = 0) -> list[FlowRun]:
        _check_page(limit, offset)
        return await run_lists.read_runs(current_bus(), chosen, offset, limit)

    async def read_history(self, flow_run_id: UUID | str) -> list[StateChange]:
        """List the states that a run came into, the newest last; of very many the last 1,000."""
        return await runs.history(current_bus(), parse_run_id(flow_run_id))

    def follow_events(self) -> AsyncGenerator[Event]:
        """Yield the changes of all runs' states, from now on, those of one run in their order.

        An event of the kind `resync` tells that some may have been missed: while the server was
        away, or because more came than it keeps. After a failover states may also have gone back.
        Then read again whatever you know from events; they go on after it. Raises
        `ServerUnreachable` when no server can be reached for RUNBUS_RETRY_SECONDS.
        """
        return events.follow_all(current_bus())

    async def wait_for_flow_run(
        self, flow_run_id: UUID | str, timeout: float | None = 10800
    ) -> FlowRun:
        """See `runbus.flow_runs.await_for_flow_run`."""
        return await flow_runs.await_for_flow_run(flow_run_id, timeout)

    async def cancel_flow_run(self, flow_run_id: UUID | str, children: bool = True) -> None:
        """See `runbus.flow_runs.acancel_flow_run`."""
        await flow_runs.acancel_flow_run(flow_run_id, children)

    # Pauses.

    async def read_waiting(
        self, *, limit: int = 50, offset: int = 0, check_owners: bool = False
    ) -> list[Waiting]:
        """List the runs that wait for an answer with what they ask, the earliest deadline first.

        With `check_owners`, it is looked whether the processes of those that were called directly
        live, and those that are found `Crashed` are left out (see `check_owners`).
        """
        _check_page(limit, offset)
        bus = current_bus()
        found = await self._read_waiting(limit, offset)
        if check_owners:
            verdicts = await owners.check(bus, [each.run for each in found])
            if owners.GONE in verdicts.values():  # others stand in their places now
                found = await self._read_waiting(limit, offset)
        return found

    async def _read_waiting(self, limit: int, offset: int) -> list[Waiting]:
        bus = current_bus()
        return await pending.read(
            bus, await run_lists.page(run_lists.Deadlines(bus), offset, limit)
        )

    async def check_owners(self, runs_: Iterable[FlowRun]) -> dict[UUID, str]:
        """Look whether the processes of runs that were called directly live.

        Return of each of them `ALIVE`; `UNSURE` until it was looked for a whole lease
        (RUNBUS_LEASE_SECONDS) again and again; or `TAKEN` when its process is dead and the run
        has crashed. Each is looked at every third of a lease at most.
        """
        return await owners.check(current_bus(), runs_)

    async def count_waiting(self) -> int:
        """Return how many runs wait for an answer."""
        return await run_lists.count_waiting(current_bus())

    async def read_pause(self, flow_run_id: UUID | str) -> Pause | None:
        """Read the pause in which a run waits: its form and deadline. None when it does not wait.

        Raises `RunMissing`.
        """
        _, pause = await pauses.read_pending(current_bus(), parse_run_id(flow_run_id))
        return pause

    async def read_pauses(self, flow_run_id: UUID | str) -> list[Pause]:
        """List the pauses of a run, answered ones too, in the order in which they were opened."""
        return await pauses.read_all(current_bus(), parse_run_id(flow_run_id))

    async def resume_flow_run(
        self,
        flow_run_id: UUID | str,
        run_input: Mapping[str, Any] | None = None,
        by: str | None = None,
        durability: Durability = "memory",
        key: str | None = None,
        generation: int | None = None,
    ) -> None:
        """See `runbus.flow_runs.aresume_flow_run`."""
        await flow_runs.aresume_flow_run(flow_run_id, run_input, by, durability, key, generation)

    async def answer_flow_run(
        self,
        flow_run_id: UUID | str,
        run_input: Mapping[str, Any] | None = None,
        by: str | None = None,
        durability: Durability = "memory",
        key: str | None = None,
        generation: int | None = None,
    ) -> Resumed:
        """Do the same without waiting, and say what became of the run.

        Raises `OwnerSilent` while it is not known whether the process that waits lives.
        """
        return await flow_runs.answer_flow_run(
            flow_run_id, run_input, by, durability, key, generation
        )

    # Log lines.

    async def read_logs(
        self, flow_run_id: UUID | str, *, after: str | None = None, limit: int = 1000
    ) -> list[LogLine]:
        """List lines that a run logged, the oldest first; `after` is the `id` of a line."""
        _check_page(limit)
        run_id = parse_run_id(flow_run_id)
        return await logs.read(current_bus(), run_id, after=check_place(after), limit=limit)

    def follow_logs(self, flow_run_id: UUID | str) -> AsyncGenerator[LogLine]:
        """Yield the lines of a run's log from the first on, until the run has ended.

        Raises `RunMissing`.
        """
        return logs.follow(current_bus(), parse_run_id(flow_run_id))

    # Inputs.

    async def read_streams(self, flow_run_id: UUID | str) -> list[StreamInfo]:
        """List the input streams of a run by their names."""
        return await inputs.info(current_bus(), parse_run_id(flow_run_id))

    async def read_inputs(
        self,
        flow_run_id: UUID | str,
        stream: str | None = None,
        *,
        after: str | None = None,
        limit: int = 1000,
        newest_first: bool = False,
    ) -> list[StoredInput]:
        """List inputs of a run, on one stream or on all, without receiving them.

        They come in the order of time; `after` is the `id` of an input.
        """
        _check_page(limit)
        return await inputs.read(
            current_bus(),
            parse_run_id(flow_run_id),
            stream,
            after=check_place(after),
            limit=limit,
            newest_first=newest_first,
        )

    def follow_inputs(
        self, flow_run_id: UUID | str, stream: str | None = None
    ) -> AsyncGenerator[StoredInput]:
        """Yield the inputs of a run from the first on, until the run has ended."""
        return inputs.follow(current_bus(), parse_run_id(flow_run_id), stream)

    # Deployments and workers.

    async def read_deployments(self) -> list[DeploymentInfo]:
        """List the deployments by their names."""
        return await deployments.read_all(current_bus())

    async def read_deployment(self, name: str) -> DeploymentInfo:
        """Read the deployment `flow/name`. Raises `DeploymentMissing`."""
        found = await deployments.read_info(current_bus(), check_text("name", name))
        if found is None:
            raise DeploymentMissing(name)
        return found

    async def is_served(self, name: str) -> bool | None:
        """Whether some worker serves a deployment; None while that is not to be known.

        A worker that was killed counts for up to three leases.
        """
        return await workers.is_served(current_bus(), name)

    async def create_flow_run_from_deployment(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        flow_run_name: str | None = None,
        idempotency_key: str | None = None,
        tags: Iterable[str] | None = None,
    ) -> FlowRun:
        """Start a run of the deployment `flow/name`, which is nobody's child, and return it.

        See `runbus.deployments.arun_deployment`. `idempotency_key` gives the same run until
        RUNBUS_RETENTION_SECONDS after its end; then the same key starts another run.

        Raises `DeploymentMissing`.
        """
        return await deployment_verbs.arun_deployment(
            name,
            parameters,
            timeout=0,
            as_subflow=False,
            flow_run_name=flow_run_name,
            idempotency_key=idempotency_key,
            tags=tags,
        )

    async def read_workers(self) -> list[WorkerInfo]:
        """List the processes that serve deployments, those that have done so longest first."""
        return await workers.read_all(current_bus())

    async def servers_away(self) -> list[str]:
        """Return the addresses of the primaries of a cluster that did not answer lately.

        The lists that were read meanwhile are without what is kept there.
        """
        return current_bus().primaries.away()

    async def server_report(self) -> ServerReport:
        """Look at the server: what is wrong with it, and what to do. Changes nothing of any run."""
        from runbus.store.admin import doctor  # late: only who looks needs it

        return await doctor.examine(current_bus())

    async def repair_indexes(self) -> int:
        """Let the indexes of all runs say what the runs' records say. Return how many did not.

        That is for when somebody has deleted an index: workers find a part of it by themselves.
        Raises `RightMissing` for a user who may not do this.
        """
        from runbus.store.maintenance import index_repair  # late: only who repairs needs it

        return await index_repair.repair_all(current_bus())


def get_client() -> Client:
    """Return a client. It may be used as it is, and in `async with`."""
    return Client()


def _check_page(limit: int, offset: int = 0) -> None:
    if not 0 < limit <= LARGEST_PAGE:
        raise InvalidArgument("limit", limit, f"pass 1 to {LARGEST_PAGE}")
    if offset < 0:
        raise InvalidArgument("offset", offset, "pass 0 or more")
