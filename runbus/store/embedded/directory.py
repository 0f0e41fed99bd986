"""The embedded server's directory: where it is, that it is private, and the lock in it.

It is `$RUNBUS_HOME/server`, by default `~/.local/share/runbus/server`.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from runbus.errors import EmbeddedServerError

ELSEWHERE = "Set RUNBUS_HOME to another directory, or RUNBUS_URL to a server that runs already."
SOCKET = "server.sock"
LOCK = "server.lock"
LONGEST_SOCKET_PATH = 100  # bytes; macOS ends at 104, the closing zero included


def locate() -> Path:
    """Where the directory is, whether or not it exists."""
    if home := os.environ.get("RUNBUS_HOME"):
        return Path(home).expanduser().absolute() / "server"
    try:
        data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    except RuntimeError as error:  # a user id without a name, as in some containers
        raise EmbeddedServerError(f"{error} {ELSEWHERE}") from None
    return Path(data).absolute() / "runbus" / "server"


def make_private(directory: Path) -> None:
    """Make a directory that only this user can open, or see to it that an existing one is.

    Raises `EmbeddedServerError` when it is a link or belongs to somebody else.
    """
    _make(directory)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise EmbeddedServerError(
            f"{directory} is not a directory (nor may it be a link). {ELSEWHERE}"
        )
    if found.st_uid != os.geteuid():
        raise EmbeddedServerError(f"{directory} belongs to another user. {ELSEWHERE}")
    if stat.S_IMODE(found.st_mode) != stat.S_IRWXU:
        directory.chmod(stat.S_IRWXU)


def _make(directory: Path) -> None:
    # Unlike with mkdir(parents=True), the parents are private too, whatever the umask.
    if not directory.parent.exists():
        _make(directory.parent)
    with suppress(FileExistsError):
        directory.mkdir(mode=stat.S_IRWXU)


def socket_path(directory: Path) -> Path:
    """Return the path by which this process reaches the socket in `directory`.

    A path too long for a socket is shortened by a symbolic link to the directory. The socket
    stays where it is: the link may differ from process to process, or vanish with a session,
    and the next call makes it again. Raises `EmbeddedServerError` when there is no safe place.
    """
    if _fits(directory / SOCKET):
        return directory / SOCKET
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108
        if base and _is_safe(Path(base)):
            link = Path(base).absolute() / f"runbus-{os.geteuid()}" / name
            if _fits(link / SOCKET):
                _point(link, directory)
                return link / SOCKET
    raise EmbeddedServerError(f"{directory} is too long a path for a socket. {ELSEWHERE}")


def _fits(socket: Path) -> bool:
    return len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH


def _is_safe(base: Path) -> bool:
    # Elsewhere, somebody else could put a directory of theirs in the place of ours.
    try:
        found = base.stat()
    except OSError:
        return False
    is_sticky = found.st_uid == 0 and bool(found.st_mode & stat.S_ISVTX)
    return (found.st_uid == os.geteuid() or is_sticky) and os.access(base, os.W_OK)


def _point(link: Path, directory: Path) -> None:
    make_private(link.parent)
    with suppress(FileExistsError):  # its name tells where it points, and only we can write there
        link.symlink_to(directory)


def take_lock(directory: Path) -> int | None:
    """Lock the lock and return its file descriptor; None while a server or its starter has it."""
    import fcntl  # late: Windows has none, and is to be told so in a better way

    lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException as error:
        os.close(lock)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return lock


def is_alive(directory: Path) -> bool:
    """Whether a server lives here, be it starting, loading or frozen."""
    if (lock := take_lock(directory)) is None:
        return True
    os.close(lock)
    return False
