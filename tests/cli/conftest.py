"""Fixtures of the command line's tests: runs of flows that ask, and a worker."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import asked
import forked
import pytest

from runbus import get_client
from runbus.errors import RunbusError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers import Server

    from runbus.protocol.records import FlowRun

PATIENCE = 30


class Ask(Protocol):
    def __call__(self, name: str, state: str = ...) -> FlowRun: ...


@pytest.fixture
def address(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server of the test, for the processes that it starts too."""
    monkeypatch.setenv("RUNBUS_URL", valkey.url)
    return valkey.url


@pytest.fixture
def processes() -> Iterator[list[forked.Process]]:
    """Processes that end with the test, after their runs have ended."""
    found: list[forked.Process] = []
    yield found
    with suppress(RunbusError):
        asyncio.run(_cancel_all())
    for process in found:
        process.terminate()
    for process in found:
        process.wait(PATIENCE)


def _start(call: Callable[..., None], *words: str) -> forked.Process:
    with open(os.devnull, "r+") as nothing:  # noqa: PTH123
        streams = [nothing.fileno()] * 3
        return forked.call(call, *words, streams=streams, environment=dict(os.environ))


@pytest.fixture
def ask(address: str, processes: list[forked.Process]) -> Ask:
    """`ask("publish")` calls a flow of `asked.py` in a process, and returns its run."""

    def start(name: str, state: str = "Paused") -> FlowRun:
        known = {run.id for run in _runs()}
        processes.append(_start(asked.call, name))
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for run in _runs():
                if run.id not in known and run.state.name == state:
                    return run
            time.sleep(0.02)
        raise TimeoutError(f"no run of {name} is {state}")

    return start


@pytest.fixture
def worker(address: str, processes: list[forked.Process]) -> forked.Process:
    """A worker that serves `greet/demo`."""
    process = _start(asked.serve)
    processes.append(process)
    deadline = time.monotonic() + PATIENCE
    while not asyncio.run(get_client().read_workers()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def _runs() -> list[FlowRun]:
    return asyncio.run(get_client().read_flow_runs())


async def _cancel_all() -> None:
    client = get_client()
    for run in await client.read_flow_runs():
        if not run.state.is_final():
            with suppress(RunbusError):
                await client.cancel_flow_run(run.id)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not all(
        run.state.is_final() for run in await client.read_flow_runs()
    ):
        await asyncio.sleep(0.05)
