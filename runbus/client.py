"""The client: runs, as seen from outside of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from runbus import flow_runs
from runbus.errors import InvalidArgument
from runbus.protocol.ids import parse_run_id
from runbus.store import bus, pauses, runs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from runbus.protocol.records import FlowRun, Pause

LARGEST_PAGE = 1000


class Client:
    """Reads and steers runs, on the server of the settings. Its methods are to be awaited."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing: the connections are the event loop's."""

    async def read_flow_run(self, flow_run_id: UUID | str) -> FlowRun:
        """Read a run. Raises `RunMissing`."""
        return await runs.read(bus.current(), parse_run_id(flow_run_id))

    async def read_flow_runs(self, *, limit: int = 200, offset: int = 0) -> list[FlowRun]:
        """List runs, the newest first."""
        _check_page(limit, offset)
        here = bus.current()
        found = await runs.read_several(here, await runs.newest(here, offset, limit))
        return [run for run in found if run is not None]

    async def read_pending_flow_runs(self, *, limit: int = 50, offset: int = 0) -> list[FlowRun]:
        """List the runs that wait for an answer, the earliest deadline first."""
        _check_page(limit, offset)
        here = bus.current()
        found = await runs.read_several(here, await runs.most_urgent(here, offset, limit))
        return [run for run in found if run is not None]

    async def read_pause(self, flow_run_id: UUID | str) -> Pause | None:
        """Read the pause in which a run waits: its form and deadline. None when it does not wait.

        Raises `RunMissing`.
        """
        run = await self.read_flow_run(flow_run_id)
        return await pauses.read(bus.current(), run.id, run.pause) if run.pause else None

    async def resume_flow_run(
        self,
        flow_run_id: UUID | str,
        run_input: Mapping[str, Any] | None = None,
        by: str | None = None,
    ) -> None:
        """See `runbus.flow_runs.aresume_flow_run`."""
        await flow_runs.aresume_flow_run(flow_run_id, run_input, by)

    async def cancel_flow_run(self, flow_run_id: UUID | str) -> None:
        """See `runbus.flow_runs.acancel_flow_run`."""
        await flow_runs.acancel_flow_run(flow_run_id)

    async def wait_for_flow_run(
        self, flow_run_id: UUID | str, timeout: float | None = 10800
    ) -> FlowRun:
        """See `runbus.flow_runs.await_for_flow_run`."""
        return await flow_runs.await_for_flow_run(flow_run_id, timeout)


def get_client() -> Client:
    """Return a client. It may be used as it is, and in `async with`."""
    return Client()


def _check_page(limit: int, offset: int) -> None:
    if not 0 < limit <= LARGEST_PAGE:
        raise InvalidArgument("limit", limit, f"pass 1 to {LARGEST_PAGE}")
    if offset < 0:
        raise InvalidArgument("offset", offset, "pass 0 or more")
