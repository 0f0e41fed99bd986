"""The tools of the tests do what the tests rely on."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import forked
import pytest
import redis
import redis.asyncio
import servers
from key_leaks import check_key_lifetimes, keys_without_lifetime
from proxy import Proxy
from servers import EngineMissing, Server, ServerFailed

from runbus import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TESTS = Path(__file__).parent


@pytest.fixture
def proxy(valkey: Server) -> Iterator[Proxy]:
    """A proxy before the Valkey server."""
    with Proxy(valkey.host, valkey.port) as proxy:
        yield proxy


@contextmanager
def connected(port: int, *, timeout: float = 5) -> Iterator[socket.socket]:
    """A bare connection that has been answered once, so that it is open at both its ends."""
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        assert ask(connection, b"PING") == b"+PONG\r\n"
        yield connection


def ask(connection: socket.socket, command: bytes) -> bytes:
    connection.sendall(command + b"\r\n")
    return connection.recv(4096)


def receive(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        received += connection.recv(size - len(received))
    return received


def assert_silent(connection: socket.socket, *, seconds: float = 0.1) -> None:
    connection.settimeout(seconds)
    with pytest.raises(TimeoutError):
        connection.recv(1)


def assert_reset(connection: socket.socket) -> None:
    with pytest.raises(ConnectionResetError):
        connection.recv(1)


def assert_closes(port: int, then: Callable[[], None]) -> None:
    """`then()` ends the server: a connection to it sees that."""
    with connected(port) as connection:
        then()
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""


# --- Servers ---------------------------------------------------------------------------------


def test_a_server_answers_at_both_addresses(server: Server):
    """A server answers over TCP and over its socket file."""
    assert redis.Redis.from_url(server.url).ping()
    assert redis.Redis.from_url(server.unix_url).ping()


@pytest.mark.parametrize("_time", [1, 2])
def test_a_shared_server_is_empty_at_first(server: Server, _time: int):
    """What a test leaves on a shared server is gone in the next."""
    client = server.client()
    assert client.dbsize() == 0
    assert client.script_exists("e0e1f9fabfc9d4800c877a703b823ac0578ff8db") == [False]
    client.eval("return 1", 0)
    client.set("left", "behind", ex=60)


def test_a_restart_keeps_the_data(own_server: Server):
    """A killed server comes back with its data, at the same address, for the same client."""
    client, url = own_server.client(), own_server.url
    client.xadd("stream", {"n": 1}, id="1-1")
    client.expire("stream", 60)
    own_server.kill()
    assert not own_server.is_alive
    with pytest.raises(redis.ConnectionError):
        client.ping()
    own_server.restart()
    assert own_server.url == url
    assert client.xrange("stream") == [("1-1", {"n": "1"})]


def test_a_frozen_server_answers_after_the_thaw(own_server: Server):
    """A frozen server accepts and is silent; thawed, it answers what it was sent meanwhile."""
    with connected(own_server.port) as connection:
        own_server.freeze()
        own_server.freeze()
        assert own_server.is_alive
        connection.sendall(b"PING\r\n")
        assert_silent(connection)
        own_server.thaw()
        connection.settimeout(5)
        assert connection.recv(64) == b"+PONG\r\n"


def test_a_frozen_server_can_be_restarted(own_server: Server):
    """A restart of a frozen server needs no thaw."""
    own_server.freeze()
    own_server.restart()
    assert own_server.client().ping()


def test_servers_keep_what_they_acknowledge(server: Server):
    """Every server runs with an append-only file, without snapshots and without eviction."""
    names = ["appendonly", "appendfsync", "save", "maxmemory-policy"]
    config = server.client().config_get(*names)
    assert [config[name] for name in names] == ["yes", "no", "", "noeviction"]


def test_arguments_win_over_the_defaults(valkey: Server):
    """Arguments of `start` come after the defaults."""
    with Server.start("valkey", "--appendonly", "no") as server:
        assert server.client().config_get("appendonly") == {"appendonly": "no"}


def test_a_server_that_fails_shows_its_log(valkey: Server):
    """A server that does not start raises with what it has written."""
    with pytest.raises(ServerFailed, match="no-such-option"):
        Server.start("valkey", "--no-such-option", "1")


def test_a_taken_port_is_passed_over(valkey: Server, monkeypatch: pytest.MonkeyPatch):
    """A server finds another port when somebody else has the first."""
    ports = servers._PORTS
    monkeypatch.setattr(servers, "_PORTS", [valkey.port])
    with pytest.raises(ServerFailed, match="Address already in use"):
        Server.start("valkey")
    choices = iter([valkey.port, secrets.choice(ports), secrets.choice(ports)])
    monkeypatch.setattr(servers.secrets, "choice", lambda _: next(choices))
    with Server.start("valkey") as server:
        assert server.port != valkey.port


def test_a_missing_engine_is_named(monkeypatch: pytest.MonkeyPatch):
    """A machine without an engine says so."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EngineMissing, match="redis-server"):
        Server.start("redis")


def test_a_server_outlives_the_thread_that_started_it(valkey: Server):
    """A server started in a thread goes on when the thread has ended."""
    started: list[Server] = []
    thread = threading.Thread(target=lambda: started.append(Server.start("valkey")))
    thread.start()
    thread.join()
    with started[0] as server:
        assert server.client().ping()


STARTER = """
from servers import Server
server = Server.start("valkey")
print(server.port, server.directory, flush=True)
if input() == "freeze":
    server.freeze()
print("ready", flush=True)
input()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
@pytest.mark.parametrize("state", ["freeze", "run"])
def test_a_server_dies_with_a_killed_process(valkey: Server, state: str):
    """SIGKILL to the process that started a server ends the server, even a frozen one."""
    with python("-c", STARTER) as parent:
        port, directory = parent.stdout.readline().split()

        def kill() -> None:
            print(state, file=parent.stdin, flush=True)
            assert parent.stdout.readline() == "ready\n"
            parent.send_signal(signal.SIGKILL)

        assert_closes(int(port), kill)
    shutil.rmtree(directory)


def python(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(TESTS), "PYTEST_ADDOPTS": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def test_shutdown_leaves_nothing_behind(valkey: Server):
    """A server that is shut down has no process and no directory."""
    server = Server.start("valkey")
    assert_closes(server.port, server.shutdown)
    assert not server.is_alive
    assert not server.directory.exists()
    server.shutdown()


# --- Proxy -----------------------------------------------------------------------------------


def test_the_proxy_carries_bytes_both_ways(server: Server):
    """Without faults a client sees the server, whatever the size of what it says."""
    with Proxy(server.host, server.port) as proxy, redis.Redis.from_url(proxy.url) as client:
        client.set("large", b"x" * 5_000_000, ex=60)
        assert client.get("large") == b"x" * 5_000_000
        assert proxy.bytes_to_server > 5_000_000
        assert proxy.bytes_to_client > 5_000_000


async def test_the_proxy_serves_async_code(proxy: Proxy):
    """The proxy runs beside the loop of the test, which may wait for it in a thread."""
    async with redis.asyncio.Redis.from_url(proxy.url) as client:
        waiting = asyncio.create_task(client.blpop(["queue"], timeout=5))
        await asyncio.to_thread(proxy.wait_for_connections, 1)
        proxy.cut()
        with pytest.raises(redis.ConnectionError):
            await waiting


def test_connections_are_counted(proxy: Proxy):
    """The proxy counts the connections so far and those that are open."""
    with connected(proxy.port), connected(proxy.port):
        proxy.wait_for_connections(2)
        assert (proxy.connections_total, proxy.connections_open) == (2, 2)
        with pytest.raises(TimeoutError, match="2 client"):
            proxy.wait_for_connections(3, timeout=0.05)
    proxy.wait_for_late_requests()
    assert (proxy.connections_total, proxy.connections_open) == (2, 0)


def test_delay_applies_each_way(proxy: Proxy):
    """A delayed request takes two delays longer, and no more than that without one."""
    with connected(proxy.port) as connection:
        proxy.delay(0.5)
        start = time.monotonic()
        ask(connection, b"PING")
        assert 1 <= time.monotonic() - start < 1.5
        proxy.delay(0)
        start = time.monotonic()
        ask(connection, b"PING")
        assert time.monotonic() - start < 0.5


def test_delay_does_not_limit_throughput(proxy: Proxy):
    """A hundred requests sent one after another come back in order, not a delay apart."""
    with connected(proxy.port) as connection:
        proxy.delay(0.1)
        start = time.monotonic()
        for number in range(100, 200):
            connection.sendall(b"ECHO %d\r\n" % number)
            time.sleep(0.0005)  # so that they are many packets
        expected = b"".join(b"$3\r\n%d\r\n" % number for number in range(100, 200))
        assert receive(connection, len(expected)) == expected
        assert time.monotonic() - start < 2


def test_less_delay_keeps_the_order(proxy: Proxy):
    """Bytes that are under way are not overtaken when the delay is taken back."""
    with connected(proxy.port) as connection:
        proxy.delay(0.1)
        connection.sendall(b"ECHO 1\r\n")
        proxy.delay(0)
        connection.sendall(b"ECHO 2\r\n")
        assert receive(connection, 14) == b"$1\r\n1\r\n$1\r\n2\r\n"


def test_cut_resets_all_connections(proxy: Proxy, valkey: Server):
    """A cut is a reset at both ends, and new connections work."""
    with connected(proxy.port) as first, connected(proxy.port) as second:
        proxy.cut()
        assert proxy.connections_open == 0
        assert_reset(first)
        assert_reset(second)
    with connected(proxy.port):
        assert proxy.connections_total == 3


def test_refuse_closes_new_connections(proxy: Proxy):
    """While it refuses, new connections are closed and those that exist go on."""
    with connected(proxy.port) as present:
        proxy.refuse()
        with pytest.raises(redis.ConnectionError):
            redis.Redis.from_url(proxy.url).ping()
        assert ask(present, b"PING") == b"+PONG\r\n"
        assert (proxy.connections_total, proxy.connections_open) == (2, 1)
        proxy.refuse(False)
        with connected(proxy.port):
            pass


def test_dropped_replies_never_come(proxy: Proxy, valkey: Server):
    """Requests are executed, their replies are gone, and whoever lost one is cut in the end."""
    with connected(proxy.port) as loser, connected(proxy.port) as idle:
        proxy.drop_replies()
        loser.sendall(b"SET a 1 EX 60\r\n")
        assert_silent(loser)
        assert valkey.client().get("a") == "1"
        proxy.drop_replies(False)
        assert_reset(loser)
        assert ask(idle, b"GET a") == b"$1\r\n1\r\n"


def test_half_open_connections_are_silent(proxy: Proxy, valkey: Server):
    """Nothing passes on a half-open connection, not even its end; new ones work."""
    with connected(proxy.port) as silent:
        number = int(ask(silent, b"CLIENT ID")[1:])
        proxy.half_open()
        silent.sendall(b"SET a 1\r\n")
        assert_silent(silent)
        assert proxy.connections_open == 1
    with connected(proxy.port) as other:
        assert ask(other, b"GET a") in {b"$-1\r\n", b"_\r\n"}
    assert valkey.client().client_list(client_id=[number])  # the server knows nothing of it


def test_a_request_can_be_cut_in_the_middle(proxy: Proxy, valkey: Server):
    """Of a pipeline cut in its second command, the first is executed."""
    with connected(proxy.port) as connection:
        requests = b"SET a 1 EX 60\r\nSET b 2 EX 60\r\n"
        proxy.cut_mid_request(len(requests) - 5)
        connection.sendall(requests)
        assert_reset(connection)
        proxy.wait_for_late_requests()
    assert valkey.client().mget("a", "b") == ["1", None]
    with connected(proxy.port) as connection:
        assert ask(connection, b"GET a") == b"$1\r\n1\r\n"


def test_a_cut_counts_bytes_over_several_packets(proxy: Proxy, valkey: Server):
    """The bytes until the cut may come in several packets."""
    with connected(proxy.port) as connection:
        request = b"SET a 1 EX 60\r\n"
        proxy.cut_mid_request(2 * len(request))
        assert ask(connection, request[:-2]) == b"+OK\r\n"
        connection.sendall(b"SET b 2 EX 60\r\nSET c 3 EX 60\r\n")
        assert_reset(connection)
        proxy.wait_for_late_requests()
    assert valkey.client().mget("a", "b", "c") == ["1", "2", None]


def test_a_lost_reply_means_executed(server: Server):
    """When the client learns of a lost reply, its request has been executed exactly once."""
    with Proxy(server.host, server.port) as proxy, connected(proxy.port) as connection:
        proxy.lose_next_reply()
        connection.sendall(b"INCR n\r\nEXPIRE n 60\r\n")
        assert_reset(connection)
        assert server.client().get("n") == "1"
        with connected(proxy.port) as other:
            assert ask(other, b"INCR n") == b":2\r\n"


def test_a_lost_reply_is_waited_for(own_server: Server):
    """The client of a lost reply is not cut before the server has replied."""
    with (
        Proxy(own_server.host, own_server.port) as proxy,
        connected(proxy.port) as connection,
    ):
        proxy.lose_next_reply()
        own_server.freeze()
        connection.sendall(b"SET a 1 EX 60\r\n")
        assert_silent(connection)
        own_server.thaw()
        connection.settimeout(5)
        assert_reset(connection)
        assert own_server.client().get("a") == "1"


@pytest.mark.parametrize("leave", ["close", "cut"])
def test_a_held_request_is_executed_late(proxy: Proxy, valkey: Server, leave: str):
    """A first attempt reaches the server after its retry, though its client has gone."""
    client = valkey.client()
    with connected(proxy.port) as first:
        proxy.hold_requests()
        first.sendall(b"RPUSH order first\r\n")
        proxy.wait_for_held_requests()
        if leave == "cut":
            proxy.cut()
            assert_reset(first)
    with connected(proxy.port) as second:
        assert ask(second, b"RPUSH order second") == b":1\r\n"
        client.expire("order", 60)
        proxy.hold_requests(False)
        proxy.wait_for_late_requests()
        assert ask(second, b"LLEN order") == b":2\r\n"
    assert client.lrange("order", 0, -1) == ["second", "first"]


def test_a_held_request_of_a_patient_client_is_answered(proxy: Proxy):
    """A client that waits while its request is held gets its reply in the end."""
    with connected(proxy.port) as connection:
        proxy.hold_requests()
        connection.sendall(b"PING\r\n")
        assert_silent(connection)
        proxy.hold_requests(False)
        connection.settimeout(5)
        assert connection.recv(64) == b"+PONG\r\n"


def test_a_killed_server_is_felt_through_the_proxy(own_server: Server):
    """A client behind the proxy sees its server die, and finds it again after the restart."""
    with Proxy(own_server.host, own_server.port) as proxy:
        with connected(proxy.port) as connection:
            own_server.kill()
            assert connection.recv(1) == b""
        with pytest.raises(redis.ConnectionError):
            redis.Redis.from_url(proxy.url).ping()
        own_server.restart()
        with connected(proxy.port):
            pass


def test_a_frozen_server_is_felt_through_the_proxy(own_server: Server):
    """A sender behind the proxy cannot send without bound to a server that does not read."""
    with (
        Proxy(own_server.host, own_server.port) as proxy,
        connected(proxy.port, timeout=0.2) as connection,
    ):
        own_server.freeze()
        with pytest.raises(TimeoutError):
            for _ in range(64):
                connection.sendall(b"x" * 1_000_000)


# --- Forked processes ------------------------------------------------------------------------


@pytest.fixture
def forked_script(tmp_path: Path) -> Callable[..., tuple[forked.Process, Path]]:
    """Start a script, and return the file of what it prints."""

    def start(code: str, *words: str, **more: str) -> tuple[forked.Process, Path]:
        script, printed = tmp_path / "script.py", tmp_path / "printed"
        script.write_text(code)
        with printed.open("wb") as output, Path(os.devnull).open() as nothing:
            streams = [nothing.fileno(), output.fileno(), output.fileno()]
            environment = {**os.environ, **more}
            return forked.script(script, *words, streams=streams, environment=environment), printed

    return start


TELLS_WHO_IT_IS = """
import os, signal, sys
print(os.getpid(), *sys.argv[1:], os.environ["WHO"], os.getcwd(), __name__)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
print(signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL)
print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
print([name for name in os.listdir("/dev/fd") if os.path.exists(f"/dev/fd/{name}")])
"""


def test_a_fork_is_a_process_of_its_own(
    forked_script: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It has its own id, words, environment, directory, signals and streams, and nothing more."""
    monkeypatch.chdir(tmp_path)
    process, printed = forked_script(TELLS_WHO_IT_IS, "a", "b", WHO="me")
    assert process.wait(30) == 0
    assert printed.read_text().splitlines() == [
        f"{process.pid} a b me {tmp_path} __main__",
        "True",
        "True",
        "set()",
        "['0', '1', '2']",
    ]


def test_forks_share_nothing_that_is_drawn(forked_script: Callable[..., Any]):
    """What is random in one is not what is random in the next."""
    code = "import random, secrets; print(random.random(), secrets.token_hex())"
    drawn = []
    for _ in range(2):
        process, printed = forked_script(code)
        assert process.wait(30) == 0
        drawn += printed.read_text().split()
    assert len(set(drawn)) == 4


@pytest.mark.parametrize(
    ("code", "exit_code", "last_line"),
    [
        ("", 0, "exit handler"),
        ("raise SystemExit(3)", 3, "exit handler"),
        ("raise ValueError('on purpose')", 1, "exit handler"),
        ("raise KeyboardInterrupt", -signal.SIGINT, "exit handler"),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, "begun"),
        ("os._exit(4)", 4, "begun"),
        ("threading.Thread(target=lambda: print('thread')).start()", 0, "exit handler"),
    ],
)
def test_a_fork_ends_as_python_ends(
    forked_script: Callable[..., Any], code: str, exit_code: int, last_line: str
):
    """It has the exit code that the same script has on its own, and says the same at last."""
    code = (
        "import atexit, os, signal, threading\natexit.register(print, 'exit handler')\n"
        f"print('begun', flush=True)\n{code}"
    )
    process, printed = forked_script(code)
    alone = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    assert process.wait(30) == alone.returncode == exit_code
    said = printed.read_text().splitlines()
    assert said[-1] == alone.stdout.decode().splitlines()[-1] == last_line
    process.kill()  # which is late, and no error


def test_a_fork_can_be_signalled_and_awaited(forked_script: Callable[..., Any]):
    """Signals reach it while it lives, and who waits for it waits as long as it is told to."""
    process, _ = forked_script("import time; time.sleep(60)")
    with process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
        assert process.poll() is None
        process.send_signal(signal.SIGSTOP)
        process.terminate()
        assert process.poll() is None
        process.send_signal(signal.SIGCONT)
        assert process.wait(30) == -signal.SIGTERM
    assert process.poll() == -signal.SIGTERM


# --- Fixtures and hooks ----------------------------------------------------------------------


@pytest.mark.keys_without_lifetime
def test_the_leak_checker_finds_keys_without_lifetime(server: Server):
    """Of many keys, the checker lists those that never expire."""
    client = server.client()
    with client.pipeline() as pipeline:
        for n in range(2500):
            pipeline.set(f"key:{n:04}", n, ex=None if n in {7, 2000} else 60)
        pipeline.execute()
    assert keys_without_lifetime(client) == ["key:0007", "key:2000"]
    client.persist(b"key:0008")
    client.set(b"\xff", 1)
    with pytest.raises(AssertionError, match=r"4 key.*\n  \\xff\n  key:0007\n  key:0008\n"):
        check_key_lifetimes(server.client(decode_responses=False))


def test_settings_lead_to_the_server(server: Server):
    """While a server fixture is in use, runbus talks to that server."""
    assert settings.current().url.get_secret_value() == server.url


def test_configure_keeps_the_other_settings(
    valkey: Server, proxy: Proxy, configure: Callable[..., None]
):
    """`configure` changes what it names, as often as it is called."""
    configure(max_stream_length=16)
    assert settings.current().url.get_secret_value() == valkey.url
    configure(url=proxy.url)
    assert settings.current().url.get_secret_value() == proxy.url
    assert settings.current().max_stream_length == 16


def test_settings_of_the_machine_do_not_reach_a_test():
    """Without a server fixture the settings are the defaults, and the home is empty."""
    assert settings.current() == settings.Settings.model_construct()
    assert [name for name in os.environ if name.startswith("RUNBUS_")] == [
        "RUNBUS_HOME",
        "RUNBUS_CONFIG",
    ]
    assert list(Path(os.environ["RUNBUS_HOME"]).iterdir()) == []


async def test_async_tests_run_on_a_loop(valkey: Server, configure: Callable[..., None]):
    """An async test runs on an event loop, with its fixtures."""
    assert asyncio.get_running_loop().is_running()
    assert valkey.is_alive
    assert callable(configure)


SAMPLE = """
import asyncio, pytest
from hypothesis import given, strategies

def test_leaks(valkey):
    valkey.client().set("leaked", 1)

@pytest.mark.keys_without_lifetime
def test_leaks_by_permission(valkey):
    valkey.client().set("by-hand", 1)

def test_fails_and_leaks(valkey):
    valkey.client().set("not-reported", 1)
    assert False

async def test_async_fails(valkey):
    await asyncio.sleep(0)
    assert False, "in async code"

async def test_hangs():
    await asyncio.sleep(3600)

@given(strategies.integers(0, 200))
async def test_property(valkey, n):
    await asyncio.sleep(0)
    assert n < 100

def test_kills(valkey):
    valkey.kill()

def test_after_the_kill(valkey):
    valkey.client().ping()
    valkey.freeze()

def test_after_the_freeze(valkey):
    valkey.client().ping()
"""


def test_the_hooks_fail_the_right_tests(tmp_path: Path, valkey: Server):
    """A leaked key fails its test unless it may; an async test fails like others, on each loop."""
    hooks = (TESTS / "conftest.py").read_text().replace("SECONDS = 60", "SECONDS = 0.5")
    (tmp_path / "conftest.py").write_text(hooks)
    (tmp_path / "test_sample.py").write_text(SAMPLE)
    with python("-m", "pytest", "-p", "no:xdist", "-rfE", "--tb=short", cwd=tmp_path) as run:
        output, _ = run.communicate()
    summary = [line.split()[:2] for line in output.splitlines() if " test_sample.py::" in line]
    on_loops = [
        ["FAILED", f"test_sample.py::{name}[{loop}]"]
        for name in ("test_async_fails", "test_hangs", "test_property")
        for loop in ("asyncio", "uvloop")
    ]
    assert summary == [
        ["FAILED", "test_sample.py::test_fails_and_leaks"],
        *on_loops,
        ["ERROR", "test_sample.py::test_leaks"],
    ], output
    assert "1 key(s) without a lifetime were left:\nE     leaked\n" in output
    assert "the test was not done after 0.5 s" in output
