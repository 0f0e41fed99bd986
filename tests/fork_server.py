"""The process whose forks are those of `forked`: `python fork_server.py <descriptor of a socket>`.

It has one thread, which reads a request from the socket, forks, and says the new process's id. How
a process has ended, it writes to the pipe that came with the request.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import gc
import json
import os
import runpy
import signal
import socket
import sys
import termios
import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import forked

import runbus.cli

if TYPE_CHECKING:
    from collections.abc import Sequence

PRELOADED = [
    *(f"runbus.cli.{path.stem}" for path in Path(runbus.cli.__file__).parent.glob("[!_]*.py")),
    *("jsonschema_rs", "pydantic_settings", "redis.asyncio", "rich.markdown", "runbus.flows"),
    *("runbus.settings.model", "runbus.store.topology", "rich.progress", "runbus.worker"),
    *("cyclopts.completion", "uuid"),
]

_status_of: dict[int, int] = {}
"""Process id → the pipe in which its end is awaited."""


def serve(channel: socket.socket) -> dict[str, Any] | None:
    """Fork for each request; return its request in a fork, and None when nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the tests, and so this
    signal.signal(signal.SIGCHLD, _report_ends)
    while True:
        request, descriptors = _received(channel)
        if request is None:
            return None
        *streams, status = descriptors
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # until its pipe is known
        pid = os.fork()
        if pid == 0:
            channel.close()
            _begin(request, streams, status)
            return request
        _status_of[pid] = status
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        for stream in streams:
            os.close(stream)
        channel.sendall(_as_bytes(pid))


def _received(channel: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    line, descriptors = b"", array.array("i")
    while not line.endswith(b"\n"):
        part, more, *_ = socket.recv_fds(channel, 1 << 16, 4)
        if not part:
            return None, []
        line += part
        descriptors.extend(more)
    return json.loads(line), list(descriptors)


def _report_ends(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, wait_status = ended
            status = _status_of.pop(pid)
            with contextlib.suppress(BrokenPipeError):  # nobody may want to know
                os.write(status, _as_bytes(os.waitstatus_to_exitcode(wait_status)))
            os.close(status)


def _as_bytes(number: int) -> bytes:
    return number.to_bytes(forked.NUMBER, signed=True)


def _begin(request: dict[str, Any], streams: Sequence[int], status: int) -> None:
    """Become a process as a new Python is one."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for descriptor in (*streams, status, *_status_of.values()):
        os.close(descriptor)
    if request["owns_terminal"]:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["directory"])
    time.tzset()
    warnings.simplefilter("error")


def run(request: dict[str, Any]) -> None:
    if "script" in request:
        path = request["script"]
        sys.path[:] = [str(Path(path).parent), *request["path"]]
        sys.argv = [path, *request["arguments"]]
        runpy.run_path(path, run_name="__main__")
    else:
        sys.path[:] = request["path"]
        module, name = request["function"]
        getattr(import_module(module), name)(*request["arguments"])


if __name__ == "__main__":
    for module in PRELOADED:
        import_module(module)
    gc.freeze()  # what is collected in a fork is its own: it need not copy the rest to look at it
    if request := serve(socket.socket(fileno=int(sys.argv[1]))):
        run(request)
