"""Processes that begin at once: forks of one that has imported runbus before.

A new Python spends a third of a second of the processor on imports, before it does anything.
These are processes all the same: with their own id, environment, standard streams and, if they are
given one, terminal. They end as Python ends, with its exit handlers and by its codes.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NUMBER = 8
"""How many bytes a process's id has on the wire, and its exit code."""


class Process:
    """A process, as `subprocess.Popen` shows one."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid = pid
        self.stdin: IO[bytes] | None = None
        """The other end of its standard input, for whoever keeps it."""
        self.returncode: int | None = None
        self._status = status
        self._poll_lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()

    def poll(self) -> int | None:
        with self._poll_lock:
            if self.returncode is None and self._is_over(0):
                self.returncode = _read_number(self._status)
                os.close(self._status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises `subprocess.TimeoutExpired`."""
        while (code := self.poll()) is None:
            if not self._is_over(timeout):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return code

    def _is_over(self, timeout: float | None) -> bool:
        poll = select.poll()
        poll.register(self._status, select.POLLIN)
        return bool(poll.poll(None if timeout is None else timeout * 1000))

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def script(path: Path, *arguments: str, **options: Any) -> Process:
    """Run a script as `python <path> …` does; the options are those of `call`."""
    return _server().start({"script": str(path), "arguments": arguments}, **options)


def call(function: Callable[..., object], *arguments: str, **options: Any) -> Process:
    """Call a module's function in a process with three `streams` (their descriptors).

    It has the `environment` and no other. With `owns_terminal`, the streams are a terminal that
    becomes the process's own: so Ctrl-C reaches it.
    """
    name = [function.__module__, function.__name__]
    return _server().start({"function": name, "arguments": arguments}, **options)


def command(*words: str) -> None:
    """The command `runbus`."""
    import runbus.cli

    sys.argv = ["runbus", *words]
    runbus.cli.main()


class _ForkServer:
    """The process that forks; it ends when this one does."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair()
        self._asking = Lock()
        with theirs:
            program = [sys.executable, str(Path(__file__).with_name("fork_server.py"))]
            descriptor = theirs.fileno()
            self._process = subprocess.Popen([*program, str(descriptor)], pass_fds=[descriptor])
        atexit.register(self._end)

    def _end(self) -> None:
        self._channel.close()
        self._process.wait()

    def start(
        self,
        call: dict[str, Any],
        *,
        streams: Sequence[int],
        environment: dict[str, str],
        owns_terminal: bool = False,
    ) -> Process:
        request = {
            **call,
            "environment": environment,
            "owns_terminal": owns_terminal,
            "directory": str(Path.cwd()),
            "path": sys.path,
        }
        ours, theirs = os.pipe()
        with self._asking:
            line = json.dumps(request).encode() + b"\n"
            sent = socket.send_fds(self._channel, [line], [*streams, theirs])
            self._channel.sendall(line[sent:])
            pid = _read_number(self._channel.fileno())
        os.close(theirs)
        return Process(pid, ours)


_server = functools.cache(_ForkServer)


def _read_number(descriptor: int) -> int:
    read = os.read(descriptor, NUMBER)
    if len(read) < NUMBER:
        raise EOFError("the process that forks is gone")
    return int.from_bytes(read, signed=True)
