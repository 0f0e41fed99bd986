"""Workers for tests: processes that serve the flows of `served.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faults import LEASE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faults import StartWorker
    from servers import Server

SERVED = Path(__file__).parent / "served.py"


@pytest.fixture
def start_worker(server: Server) -> Iterator[StartWorker]:
    """`start_worker("shop", limit=2)` serves flows in a process, all of them without a name."""
    workers: list[subprocess.Popen[bytes]] = []

    def start(*names: str, limit: int = 0) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "RUNBUS_URL": server.url,
            "RUNBUS_LEASE_SECONDS": str(LEASE_SECONDS),
        }
        command = [sys.executable, str(SERVED), str(limit), *names]
        workers.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()
        worker.wait()
