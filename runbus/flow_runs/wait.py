"""Wait for the end of a run."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING

from runbus.errors import (
    InvalidArgument,
    RunNotEnded,
)
from runbus.execution.current_run import current_flow_run
from runbus.execution.verbs import verb
from runbus.protocol.ids import parse_run_id
from runbus.store.bus import current_bus
from runbus.store.maintenance.run_end import wait_for_end
from runbus.store.records import runs

if TYPE_CHECKING:
    from uuid import UUID

    from typing_extensions import TypeVar

    from runbus.background.pending import Pending
    from runbus.protocol.records import FlowRun

    T = TypeVar("T", default=None)
    V = TypeVar("V", default=Pending[None])


async def await_for_flow_run(
    flow_run_id: UUID | str, timeout: float | None = 10800, poll_interval: float = 10
) -> FlowRun:
    """Wait until a run has ended, and return it. `timeout` is in seconds; 0 looks once.

    Raises `RunNotEnded`, which is a `TimeoutError`, and `RunMissing`.
    """
    run_id = parse_run_id(flow_run_id)
    check_timeout(timeout)
    if timeout == 0:
        run = await runs.read(current_bus(), run_id)
        if run.state.is_final():
            return run
        raise RunNotEnded(flow_run_id=run_id, timeout=timeout)
    return await ended(run_id, timeout, poll_interval)


async def ended(
    run_id: UUID, timeout: float | None, poll_interval: float, known: FlowRun | None = None
) -> FlowRun:
    """Wait until a run has ended; others execute meanwhile. `known` is what was just read of it.

    Raises as `await_for_flow_run`.
    """
    run = current_flow_run()
    limit = asyncio.timeout(timeout)
    async with nullcontext() if run is None else run.waiting():
        try:
            async with limit:
                return await wait_for_end(current_bus(), run_id, poll_interval, known)
        except TimeoutError:
            if limit.expired():
                raise RunNotEnded(flow_run_id=run_id, timeout=timeout or 0) from None
            raise


def wait_for_flow_run(
    flow_run_id: UUID | str, timeout: float | None = 10800, poll_interval: float = 10
) -> FlowRun:
    """See `await_for_flow_run`."""
    return verb("wait_for_flow_run", await_for_flow_run, flow_run_id, timeout, poll_interval)


def check_timeout(timeout: object) -> None:
    """Raise `InvalidArgument` for what is no number of seconds."""
    if timeout is not None and not (isinstance(timeout, (int, float)) and timeout >= 0):
        raise InvalidArgument("timeout", timeout, "pass seconds, 0 or more, or None")
