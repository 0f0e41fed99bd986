"""The embedded server's directory: any path will do, and nobody else gets in."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from redis import Redis

from runbus.errors import EmbeddedServerError
from runbus.store.embedded import server
from runbus.store.embedded.directory import LONGEST_SOCKET_PATH, locate

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
NOBODY = 65534


@pytest.fixture
def base():
    """An empty directory with a short path."""
    path = Path(tempfile.mkdtemp(prefix="rb-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def use(monkeypatch):
    """`use(home)` sets RUNBUS_HOME; the server there ends with the test."""
    used = []

    def set_home(path):
        used.append(path)
        monkeypatch.setenv("RUNBUS_HOME", str(path))

    yield set_home
    for path in used:
        monkeypatch.setenv("RUNBUS_HOME", str(path))
        server.stop()


@pytest.fixture
def too_long(base, use, monkeypatch):
    """A RUNBUS_HOME too long for a socket, and the folder that a short way to it will be in."""
    use(base / "long" / ("x" * LONGEST_SOCKET_PATH))
    (runtime := base / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    return runtime / f"runbus-{os.geteuid()}"


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_where_it_is(monkeypatch):
    """RUNBUS_HOME comes before XDG_DATA_HOME, and that before the home directory."""
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.setenv("XDG_DATA_HOME", "/x")
    monkeypatch.setenv("RUNBUS_HOME", "~/mine")
    assert locate() == Path("/h/mine/server")
    monkeypatch.delenv("RUNBUS_HOME")
    assert locate() == Path("/x/runbus/server")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert locate() == Path("/h/.local/share/runbus/server")


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_private_under_any_umask(base, use, umask):
    """Directories are 0700 and the socket is 0600, whatever the umask is."""
    use(base / "new" / "home")
    before = os.umask(umask)
    try:
        server.ensure_running()
    finally:
        os.umask(before)
    status = server.status()
    assert [mode(path) for path in (base / "new", status.directory)] == [0o700, 0o700]
    assert mode(status.socket) == 0o600


def test_odd_characters(base, use):
    """A path may hold spaces, quotes, percent signs and whatever else a name may hold."""
    use(base / """it's a "dir" \\ 100% #é?*[a]{b}""")
    with Redis.from_url(server.ensure_running()) as redis:
        assert redis.ping()
    assert server.status().directory == locate()
    assert {"server.log", "server.pid", "appendonlydir"} < {
        file.name for file in locate().iterdir()
    }


def test_too_long_path(too_long):
    """A path too long for a socket is reached by a short one, through a private directory."""
    with Redis.from_url(server.ensure_running()) as redis:
        assert redis.ping()
    socket = server.status().socket
    assert len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH
    assert socket.parent.parent == too_long
    assert mode(too_long) == 0o700
    assert socket.resolve() == locate().resolve() / "server.sock"


def test_too_long_path_from_another_session(too_long, base, monkeypatch):
    """The server behind a long path is the same for a session with other temporary folders."""
    server.ensure_running()
    first = server.status()
    shutil.rmtree(too_long)
    (other := base / "other").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(other))
    assert server.ensure_running() != first.url
    assert server.status().pid == first.pid


def test_too_long_path_skips_unsafe_folders(too_long, base, monkeypatch):
    """A temporary folder in which anybody may move things is passed over for the next one."""
    (shared := base / "shared").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base / "missing"))
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    server.ensure_running()
    assert server.status().socket.is_relative_to(shared)


def test_planted_folder(too_long, base):
    """A link in the place of the private folder is refused, not followed."""
    (target := base / "elsewhere").mkdir(mode=0o755)
    too_long.symlink_to(target)
    with pytest.raises(EmbeddedServerError, match="nor may it be a link"):
        server.ensure_running()
    assert mode(target) == 0o755
    too_long.unlink()


@only_root
def test_folder_of_another_user(too_long):
    """A private folder that somebody else made first is refused."""
    too_long.mkdir(mode=0o700)
    os.chown(too_long, NOBODY, -1)
    with pytest.raises(EmbeddedServerError, match="belongs to another user"):
        server.ensure_running()
    too_long.rmdir()


@only_root
def test_directory_of_another_user(base, use):
    """A directory of somebody else's is refused by every function."""
    use(base / "theirs")
    locate().mkdir(parents=True, mode=0o777)
    os.chown(locate(), NOBODY, -1)
    for function in (server.ensure_running, server.status, server.stop):
        with pytest.raises(EmbeddedServerError, match=r"belongs to another user.*RUNBUS_HOME"):
            function()
    os.chown(locate(), os.geteuid(), -1)


def test_open_directory_is_closed(base, use):
    """A directory of ours that others could look into is closed to them."""
    use(base)
    locate().mkdir(mode=0o755)
    server.ensure_running()
    assert mode(locate()) == 0o700


def test_no_place(base, monkeypatch):
    """Where no directory can be made, the message names the two ways out."""
    (base / "file").touch()
    monkeypatch.delenv("RUNBUS_HOME")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", str(base / "file"))
    with pytest.raises(EmbeddedServerError, match=r"RUNBUS_HOME.*RUNBUS_URL"):
        server.ensure_running()
