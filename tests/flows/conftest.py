"""Processes for tests: workers that serve the flows of `served.py`, and callers of one verb."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import forked
import pytest
from faults import LEASE_SECONDS, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faults import Call, StartProcess, StartWorker
    from servers import Server

HERE = Path(__file__).parent


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def start_process(server: Server) -> Iterator[StartProcess]:
    """Start a script of this directory; with a fault point, it is killed there.

    `said` is a file for what it says; what else is named are settings (`retry_seconds=1`).
    """
    processes: list[forked.Process] = []

    def start(
        script: str, *arguments: str, fault: str = "", said: Path | None = None, **settings: Any
    ) -> forked.Process:
        settings = {"url": server.url, "lease_seconds": LEASE_SECONDS, **settings}
        environment = {
            **os.environ,
            **{f"RUNBUS_{name.upper()}": str(value) for name, value in settings.items()},
            "FAULT_POINT": fault,
        }
        scripts = [HERE / name for name in (["fault_points.py"] if fault else []) + [script]]
        words = [*map(str, scripts[1:]), *arguments]
        reads, writes = os.pipe()
        with Path(said or os.devnull).open("ab") as terminal:
            streams = [reads, 1, terminal.fileno()]
            process = forked.script(scripts[0], *words, streams=streams, environment=environment)
        os.close(reads)
        process.stdin = os.fdopen(writes, "wb")
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdin.close()


@pytest.fixture
def start_worker(start_process: StartProcess) -> StartWorker:
    """`start_worker("shop", limit=2)` serves flows in a process, all of them without a name."""

    def start(*names: str, limit: int = 0, **options: Any) -> forked.Process:
        return start_process("served.py", str(limit), *names, **options)

    return start


@pytest.fixture
def call(start_process: StartProcess) -> Call:
    """`call("resume_flow_run", flow_run_id=…)` calls a verb in a process; return its exit code."""

    def call(verb: str, *, fault: str = "", **arguments: Any) -> int:
        process = start_process("caller.py", verb, json.dumps(arguments), fault=fault)
        return process.wait(PATIENCE)

    return call
