"""Fixtures of all tests: real servers, clean settings, no leaked keys, async tests.

`server` runs a test on each engine, `valkey` on one; both are shared by the tests of a worker and
empty when a test begins. `own_server` is the test's alone, on each engine: it may kill and freeze
it. While one of them is in use, it is the server that runbus talks to.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import signal
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from key_leaks import check_key_lifetimes
from servers import Engine, EngineMissing, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterator

_BOTH_ENGINES: dict[str, Any] = {"params": ["valkey", "redis"], "ids": ["valkey", "redis7"]}
_ASYNC_TEST_SECONDS = 60
_PASSED = pytest.StashKey[bool]()

# A machine that does other things, too, makes no test fail.
hypothesis.settings.register_profile("patient", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("patient")

# Read now: the tests run without the RUNBUS_* variables.
_SERVERS_REQUIRED = bool(os.environ.get("CI") or os.environ.get("RUNBUS_TESTS_REQUIRE_SERVERS"))


# --- Servers ---------------------------------------------------------------------------------


class SharedServers:
    """One server per engine, started at its first use."""

    def __init__(self) -> None:
        self._running: dict[Engine, Server] = {}

    def emptied(self, engine: Engine) -> Server:
        """Give the engine's server as a new test expects it, whatever the last one did to it."""
        server = self._running.get(engine)
        if server is None:
            server = self._running[engine] = started(engine)
        if not server.is_alive:
            server.restart()
        server.thaw()
        with server.client() as client:
            # Twice: what a killed process still said would be executed on the empty server, and who
            # connects anew, as the background loop does, would find what the last test has left.
            client.flushall()
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            client.flushall()
            client.script_flush()
        return server

    def shutdown(self) -> None:
        for server in self._running.values():
            server.shutdown()


@pytest.fixture(scope="session")
def shared_servers() -> Iterator[SharedServers]:
    """The servers that the tests of this worker share."""
    from runbus.background.background_loop import background

    servers = SharedServers()
    yield servers
    background.stop()  # first: it would say, after the summary, that the servers are gone
    servers.shutdown()


@pytest.fixture(**_BOTH_ENGINES)
def server(request: pytest.FixtureRequest, shared_servers: SharedServers) -> Iterator[Server]:
    """An empty server of each engine in turn."""
    with _in_use(shared_servers.emptied(request.param), request.node) as server:
        yield server


@pytest.fixture
def valkey(request: pytest.FixtureRequest, shared_servers: SharedServers) -> Iterator[Server]:
    """An empty Valkey server, for what cannot differ between the engines."""
    with _in_use(shared_servers.emptied("valkey"), request.node) as server:
        yield server


@pytest.fixture(**_BOTH_ENGINES)
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of each engine in turn that the test may kill, freeze and restart."""
    with started(request.param) as server, _in_use(server, request.node):
        yield server


@pytest.fixture(scope="session")
def start_server() -> Callable[..., Server]:
    """Start a server of an engine with options of its own; the test ends it."""
    return started


def started(engine: Engine, *options: str) -> Server:
    try:
        return Server.start(engine, *options)
    except EngineMissing as missing:
        if _SERVERS_REQUIRED:
            pytest.fail(f"{missing}, and servers are required here")
        pytest.skip(str(missing))


@contextmanager
def _in_use(server: Server, test: pytest.Item) -> Iterator[Server]:
    from runbus.settings import temporary_settings

    with temporary_settings(url=server.url):
        yield server
    # A test that failed half-way leaves what it leaves: more errors would hide the first.
    if test.stash.get(_PASSED, False) and not test.get_closest_marker("keys_without_lifetime"):
        _check_key_lifetimes(server)


def _check_key_lifetimes(server: Server) -> None:
    server.thaw()
    if server.is_alive:
        with server.client(decode_responses=False) as client:
            check_key_lifetimes(client)


@pytest.fixture(autouse=True)
def no_leases_left(clean_settings: None) -> Iterator[None]:
    """Let no test leave leases and ends that are not recorded to the next, or to the exit."""
    yield
    from runbus.background import lease_holder

    lease_holder.close_all()


# --- Settings --------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def clean_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let nothing of this machine's settings reach a test, and nothing of one test the next."""
    from runbus import settings

    for name in [name for name in os.environ if name.startswith("RUNBUS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(settings, "in_use", None)
    # Not `tmp_path`: the path of a socket file in it would be longer than a system allows.
    with tempfile.TemporaryDirectory(prefix="runbus-", ignore_cleanup_errors=True) as home:
        monkeypatch.setenv("RUNBUS_HOME", home)
        monkeypatch.setenv("RUNBUS_CONFIG", str(Path(home) / "config.toml"))
        yield


@pytest.fixture
def configure() -> Iterator[Callable[..., None]]:
    """`configure(url=…, max_stream_length=16)` changes settings for the rest of the test."""
    from runbus import settings

    with ExitStack() as changes:

        def change(**values: Any) -> None:
            kept = settings.current().model_dump(exclude_unset=True)
            changes.enter_context(settings.temporary_settings(**kept | values))

        yield change


# --- Hooks -----------------------------------------------------------------------------------


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have the tests that take long begin first: in each xdist worker some of them.

    A worker begins with a share of the tests in their order, and takes others' last ones then.
    """
    config.hook.pytest_deselected(items=[item for item in items if _is_one_too_many(item)])
    items[:] = [item for item in items if not _is_one_too_many(item)]
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    long = [item for item in items if item.get_closest_marker("long")]
    others = [item for item in items if not item.get_closest_marker("long")]
    share = -(-len(others) // workers)
    items[:] = [
        item
        for number in range(workers)
        for item in (*long[number::workers], *others[number * share : (number + 1) * share])
    ]


_ENGINES = ("valkey", "redis", "redis7")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and let Ctrl-C be heard by the processes that tests interrupt.

    A shell starts what is to run in its background with SIGINT ignored, and that is inherited.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "long: the test takes ten seconds and more: it begins early")
    config.addinivalue_line(
        "markers", "keys_without_lifetime: the test makes keys by hand that never expire"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note which tests passed: only their servers are checked for leaked keys."""
    report = yield
    if call.when == "call":
        item.stash[_PASSED] = report.passed
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> None:
    """Have each coroutine function that is a test run on a loop of each kind, by anyio's plugin."""
    test = obj.hypothesis.inner_test if hasattr(obj, "hypothesis") else obj
    if name.startswith("test_") and inspect.iscoroutinefunction(test):
        pytest.mark.anyio(obj)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Give a coroutine function its time; a signal, as pytest-timeout sends it, uvloop swallows."""
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        pyfuncitem.obj = _in_time(pyfuncitem.obj)


def _in_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Any:
    @functools.wraps(test)
    async def run(**arguments: Any) -> None:
        try:
            async with asyncio.timeout(_ASYNC_TEST_SECONDS) as limit:
                await test(**arguments)
        except TimeoutError:
            if limit.expired():
                pytest.fail(f"the test was not done after {_ASYNC_TEST_SECONDS} s")
            raise

    return run


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The kind of event loop that an async test runs on.

    One that runs on both engines runs on one kind with each of them, see `_is_one_too_many`.
    """
    return "asyncio", {"use_uvloop": request.param}


def _is_one_too_many(item: pytest.Item) -> bool:
    params: dict[str, object] = item.callspec.params if hasattr(item, "callspec") else {}  # type: ignore[attr-defined]
    uvloops = {each == "valkey" for each in params.values() if each in _ENGINES}
    return "anyio_backend" in params and uvloops == {params["anyio_backend"]}
