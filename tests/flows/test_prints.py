"""`log_prints`: what a flow prints becomes lines of its run, and nobody else's prints do."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from runbus import flow, get_run_context
from runbus.protocol.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from servers import Server

LOGGER = "runbus.flow_runs"


@pytest.fixture(autouse=True)
def information(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Lines of the level of information are looked at."""
    with caplog.at_level(logging.INFO, LOGGER):
        yield


def lines(caplog: pytest.LogCaptureFixture, run_name: str) -> list[str]:
    """What a run said, without the engine's own lines."""
    told = (record.getMessage() for record in caplog.records if hasattr(record, "flow_run_id"))
    return [line.removeprefix(f"{run_name}: ") for line in told if line.startswith(run_name)]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_flow_prints_lines(
    valkey: Server,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    is_async: bool,
) -> None:
    """`print` keeps its ways to put values together; what has a file goes there."""

    def talk() -> None:
        print("tea", 3, True, sep="-", end="!\n")
        print("100%\ntwo lines")
        print("aside", file=sys.stderr)
        print("out", file=sys.stdout)

    @flow(flow_run_name="talker", log_prints=True)
    def talks() -> None:
        talk()

    @flow(flow_run_name="talker", log_prints=True)
    async def talks_async() -> None:
        await asyncio.sleep(0)
        talk()

    print("before")
    asyncio.run(talks_async()) if is_async else talks()
    print("after")
    assert lines(caplog, "talker") == ["tea-3-True!", "100%\ntwo lines"]
    assert capsys.readouterr() == ("before\nout\nafter\n", "aside\n")


def test_prints_are_on_the_runs_log_stream(server: Server) -> None:
    """Whoever reads the run's log finds what it printed."""
    ids: list[UUID] = []

    @flow(log_prints=True)
    def talk() -> None:
        ids.append(get_run_context().run_id)
        print("hello")

    talk()
    with server.client() as client:
        ((_, entry),) = client.xrange(Keys("runbus").log(ids[0]))
    assert entry["message"] == "hello"
    assert entry["level"] == "INFO"


def test_a_child_prints_as_its_parent_unless_it_says_otherwise(
    valkey: Server, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """The option is inherited by flows of both kinds, and by their threads."""

    @flow(flow_run_name="child")
    def child() -> None:
        print("as my parent")

    @flow(flow_run_name="async-child")
    async def async_child() -> None:
        await asyncio.to_thread(print, "in a thread")

    @flow(flow_run_name="parent", log_prints=True)
    async def parent() -> None:
        child()
        await async_child()
        child.with_options(log_prints=False, flow_run_name="quiet")()
        print("mine")

    asyncio.run(parent())
    child()
    assert lines(caplog, "child") == ["as my parent"]
    assert lines(caplog, "async-child") == ["in a thread"]
    assert lines(caplog, "parent") == ["mine"]
    assert capsys.readouterr().out == "as my parent\n" * 2  # quiet, and the one called outside


async def test_concurrent_runs_print_their_own_lines(
    valkey: Server, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three tasks print in turns, one of them without the option."""
    barrier = asyncio.Barrier(3)

    async def printed(name: str) -> None:
        for number in range(3):
            await barrier.wait()
            print(name, number)

    logged = flow(flow_run_name="{name}", log_prints=True)(printed)
    await asyncio.gather(logged("one"), logged("two"), flow(printed)("three"))
    for name in ("one", "two"):
        assert lines(caplog, name) == [f"{name} {number}" for number in range(3)]
    assert capsys.readouterr().out == "three 0\nthree 1\nthree 2\n"


def test_runs_in_threads_print_their_own_lines(
    valkey: Server, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four threads print at once, one of them outside of a run."""
    together = threading.Barrier(4)

    def printed(name: str) -> None:
        together.wait(20)
        print(name)

    logged = flow(flow_run_name="{name}", log_prints=True)(printed)
    names = ["red", "green", "blue"]
    with ThreadPoolExecutor(4) as pool:
        for each in [
            *(pool.submit(logged, name) for name in names),
            pool.submit(printed, "nobody"),
        ]:
            each.result()
    for name in names:
        assert lines(caplog, name) == [name]
    assert capsys.readouterr().out == "nobody\n"


def test_a_log_handler_that_prints(valkey: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Its print is no new line of the run, which would print again without end."""

    class Printing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if hasattr(record, "flow_run_id"):
                print("handled", record.getMessage())

    @flow(flow_run_name="talker", log_prints=True)
    def talk() -> None:
        print("hello")

    handler = Printing()
    logging.getLogger(LOGGER).addHandler(handler)
    try:
        talk()
    finally:
        logging.getLogger(LOGGER).removeHandler(handler)
    assert capsys.readouterr().out == "handled talker: hello\n"
