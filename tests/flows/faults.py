"""Faults and patience: what the tests of runs do to workers, and how they wait for them."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from runbus import get_client, resume_flow_run, run_deployment, wait_for_flow_run
from runbus.background.bridge import run as block
from runbus.errors import DeploymentMissing, NotPaused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from chaos.faults import Fault
    from forked import Process

    StartProcess = Callable[..., Process]
    StartWorker = Callable[..., Process]
    Call = Callable[..., int]

LEASE_SECONDS = 1.5
PATIENCE = 30.0


def until(
    condition: Callable[[], Any], *passing: type[Exception], patience: float = PATIENCE
) -> Any:
    """Wait for what other processes do; errors of the `passing` kinds say that it is not yet so."""
    deadline = time.monotonic() + patience
    while True:
        try:
            if found := condition():
                return found
        except passing as error:
            if time.monotonic() > deadline:
                raise AssertionError("it did not happen") from error
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def started(name: str, parameters: dict[str, Any] | None = None, **options: Any) -> UUID:
    """Start a run, as soon as its deployment is served."""
    return until(
        lambda: run_deployment(name, parameters, timeout=0, **options), DeploymentMissing
    ).id


def state_of(run_id: UUID) -> str:
    return block(lambda: get_client().read_flow_run(run_id)).state.name


def answer(run_id: UUID, value: object) -> None:
    """Answer a run as soon as it waits."""
    until(lambda: resume_flow_run(run_id, {"value": value}) is None, NotPaused)


def result_of(run_id: UUID) -> Any:
    return wait_for_flow_run(run_id, timeout=PATIENCE).state.result()


@contextmanager
def made(fault: Fault) -> Iterator[None]:
    """Have something go wrong in the block."""
    fault.begin()
    try:
        yield
    finally:
        fault.heal()
