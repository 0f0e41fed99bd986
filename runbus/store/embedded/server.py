"""The embedded server: a real Valkey of this user's own, shared by all of their processes.

Everything that belongs to it is in one directory: configuration, log, append-only file, socket
and lock. Whoever starts the server locks the lock (flock) and hands the open file down to it. So
the lock is held exactly as long as the server lives, `kill -9` frees it, and a second server on
the same files cannot come to be. No pid file and no leftover socket is believed.

Everything here blocks: on an event loop, call it in a thread.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from redis import BusyLoadingError, Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from runbus.errors import EmbeddedServerError
from runbus.store.embedded import binary
from runbus.store.embedded import directory as directories

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


_REPLY_SECONDS = 2.0
_LOOK_AGAIN_SECONDS = 0.01


@dataclass(frozen=True, kw_only=True)
class ServerStatus:
    """What the embedded server says about itself."""

    pid: int
    url: str
    """The RUNBUS_URL by which it can be reached."""
    socket: Path
    directory: Path
    """Where its configuration, log and data are."""
    version: str
    """Of Valkey, such as `9.1.2`."""
    uptime_seconds: int
    memory_bytes: int
    """What the server has allocated."""
    clients: int
    """Open connections, without the one that asked."""


@contextmanager
def _os_errors_explained() -> Generator[None]:
    try:
        yield
    except OSError as error:
        message = f"the embedded server: {error}. {directories.ELSEWHERE}"
        raise EmbeddedServerError(message) from error


@_os_errors_explained()
def ensure_running(timeout: float = 30) -> str:
    """Return the `unix://` URL of a server that answers PING; start it if none runs.

    `timeout` bounds the wait for a server that says nothing, in seconds; one that is loading
    its data is waited for as long as that takes. Raises `EmbeddedServerError`.
    """
    directory, socket = _open_directory()
    log_start: int | None = None
    deadline = time.monotonic() + timeout
    while (unready := _ping(socket)) is not None:
        if (lock := directories.take_lock(directory)) is not None:
            if log_start is not None:
                os.close(lock)
                raise EmbeddedServerError(_why_it_ended(directory, log_start))
            log_start = binary.launch(directory, lock)
        elif isinstance(unready, BusyLoadingError):
            deadline = time.monotonic() + timeout
        elif time.monotonic() > deadline:
            raise EmbeddedServerError(_why_it_is_silent(directory, unready))
        time.sleep(_LOOK_AGAIN_SECONDS)
    return _url(socket)


@_os_errors_explained()
def status() -> ServerStatus | None:
    """Ask the server about itself; None when it does not run.

    Raises `EmbeddedServerError` when it runs and does not answer.
    """
    if not os.path.lexists(directories.locate()):
        return None
    directory, socket = _open_directory()
    info = _patient_info(directory, socket)
    if info is None:
        return None
    return ServerStatus(
        pid=info["process_id"],
        url=_url(socket),
        socket=socket,
        directory=directory,
        version=info["valkey_version"],
        uptime_seconds=info["uptime_in_seconds"],
        memory_bytes=info["used_memory"],
        clients=info["connected_clients"] - 1,
    )


@_os_errors_explained()
def stop(timeout: float = 10) -> bool:
    """Ask the server to write everything and end, and wait until it has; False if none ran.

    `timeout` is in seconds. Raises `EmbeddedServerError` when the server refuses or takes longer.
    """
    before = status()
    if before is None:
        return False
    _shut_down(before.socket, timeout)
    deadline = time.monotonic() + timeout
    while directories.is_alive(before.directory) and not _is_replaced(before):
        if time.monotonic() > deadline:
            raise EmbeddedServerError(
                f"the embedded server (pid {before.pid}) was told to end and has not in "
                f"{timeout:g} s: see {before.directory / binary.LOG}."
            )
        time.sleep(_LOOK_AGAIN_SECONDS)
    return True


def _open_directory() -> tuple[Path, Path]:
    if sys.platform == "win32":
        raise EmbeddedServerError("the embedded server needs Linux or macOS: set RUNBUS_URL.")
    directory = directories.locate()
    directories.make_private(directory)
    return directory, directories.socket_path(directory)


def _url(socket: Path) -> str:
    return f"unix://{quote(str(socket))}"


def _client(socket: Path, timeout: float = _REPLY_SECONDS) -> Redis:
    return Redis(
        unix_socket_path=str(socket),
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
    )


def _ping(socket: Path) -> RedisError | None:
    """Why the server does not answer PONG; None when it does."""
    try:
        with _client(socket) as client:
            client.ping()  # pyright: ignore[reportUnknownMemberType]
    except RedisError as error:
        return error
    return None


def _info(socket: Path) -> dict[str, Any] | RedisError:
    try:
        with _client(socket) as client:
            return client.info()  # pyright: ignore[reportUnknownMemberType]
    except RedisError as error:
        return error


def _patient_info(directory: Path, socket: Path) -> dict[str, Any] | None:
    """INFO of a server that may have started just now; None when there is none."""
    deadline = time.monotonic() + _REPLY_SECONDS
    while not isinstance(info := _info(socket), dict):
        if not directories.is_alive(directory):
            return None
        if time.monotonic() > deadline:
            raise EmbeddedServerError(_why_it_is_silent(directory, info))
        time.sleep(_LOOK_AGAIN_SECONDS)
    return info


def _shut_down(socket: Path, timeout: float) -> None:
    try:
        with _client(socket, timeout) as client:
            client.shutdown()  # pyright: ignore[reportUnknownMemberType]
    except RedisError as error:
        raise EmbeddedServerError(f"the embedded server does not end: {error}.") from error


def _is_replaced(before: ServerStatus) -> bool:
    """Whether somebody has started the next server before we saw the lock free."""
    info = _info(before.socket)
    return isinstance(info, dict) and info["process_id"] != before.pid


def _why_it_ended(directory: Path, log_start: int) -> str:
    return (
        f"the embedded server ended while it started. The last lines of {directory / binary.LOG}:\n"
        + binary.last_words(directory, log_start)
    )


def _why_it_is_silent(directory: Path, error: RedisError) -> str:
    return (
        f"an embedded server lives in {directory} and does not answer: {error}. If it does not "
        f"come round, end it ({directory / binary.PID} has its process id) and start again."
    )
