"""A loop that is blocked is reported, with the run and the line that blocks it."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import subprocess
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING

from faults import PATIENCE, result_of, started, state_of, until

from runbus import flow, get_run_context
from runbus.supervision.blocked_loop import watch

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from servers import Server

SERVED = """
import asyncio, sys, time
from runbus import flow
@flow
async def block():
    time.sleep(2.5)  # here
@flow
async def wait():
    await asyncio.sleep(0.1)
from runbus import serve
serve(block.to_deployment("x"), wait.to_deployment("x"))
"""


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


def block(seconds: float) -> None:
    time.sleep(seconds)  # blocks


def line_that_blocks() -> str:
    code = block.__code__
    return f"{__file__}:{code.co_firstlineno + 1} (block)"


async def test_a_blocked_loop(caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, with name and place, while it lasts, and at the end how long it took."""
    told: list[list[str]] = []
    looking = threading.Timer(2.2, lambda: told.append(warnings_of(caplog)))
    loop = asyncio.get_running_loop()
    with watch(loop, "the-run"):
        await asyncio.sleep(0)
        looking.start()
        block(2.5)
    looking.join()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    [first], [_, last] = *told, warnings_of(caplog)
    assert first.startswith(f"the-run blocks its event loop, at {line_that_blocks()}")
    assert re.fullmatch(r"the-run blocked its event loop for [12]\.\d s", last)


def test_a_task_whose_loop_was_closed() -> None:
    """That its loop was watched does not keep it alive."""

    async def wait() -> None:
        with watch(asyncio.get_running_loop(), "the-run"):
            await asyncio.sleep(PATIENCE)

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # it says that a task was destroyed
    task = loop.create_task(wait())
    loop.run_until_complete(asyncio.sleep(0))
    found = weakref.ref(task)
    del task
    loop.close()
    gc.collect()
    assert found() is None


async def test_two_blockages(caplog: pytest.LogCaptureFixture) -> None:
    """Each is reported for itself; the time between them, in which the loop waits, is not."""
    with watch(asyncio.get_running_loop(), "the-run"):
        for _ in range(2):
            block(2.5)
            await asyncio.sleep(1.3)
    assert [each.split(",")[0] for each in warnings_of(caplog)[::2]] == [
        "the-run blocks its event loop"
    ] * 2
    assert len(warnings_of(caplog)) == 4


async def test_a_flow_that_blocks_its_neighbour(
    valkey: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The name is that of the run whose code blocks, not of those that wait."""
    names: list[str] = []

    @flow
    async def waiting() -> None:
        await asyncio.sleep(0.5)

    @flow
    async def child() -> None:
        names.append(get_run_context().name)
        await asyncio.sleep(0.1)
        block(2.5)

    @flow
    async def parent() -> None:
        await child()

    await asyncio.gather(waiting(), parent(), waiting())
    [told] = [each for each in warnings_of(caplog) if "blocks" in each]
    assert told.startswith(f"{names[0]} blocks its event loop, at {line_that_blocks()}")


async def test_a_task_of_which_no_run_is_known(caplog: pytest.LogCaptureFixture) -> None:
    """Where any of several runs may be the one, they are named."""

    async def work() -> None:
        block(2.5)

    loop = asyncio.get_running_loop()
    with watch(loop, "one"), watch(loop, "two"):
        await asyncio.create_task(work())
    assert warnings_of(caplog)[0].startswith("one of one, two blocks its event loop")


def test_a_served_flow(valkey: Server, tmp_path: Path) -> None:
    """A worker says which of its async runs stops the others."""
    script = tmp_path / "flows.py"
    script.write_text(SERVED)
    worker = subprocess.Popen(
        [sys.executable, str(script)],
        env={"RUNBUS_URL": valkey.url},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        run_id = started("block/x", flow_run_name="the-blocker")
        until(lambda: state_of(run_id) == "Completed")
        result_of(started("wait/x"))
        worker.terminate()
        _, errors = worker.communicate(timeout=PATIENCE)
    finally:
        worker.kill()
    assert f"the-blocker blocks its event loop, at {script}:6 (block)" in errors
    assert re.search(r"the-blocker blocked its event loop for [12]\.\d s", errors)


async def test_the_thread_ends_with_the_last_run() -> None:
    """A process that executes nothing has no watchdog."""

    def watchdogs() -> list[str]:
        return [each.name for each in threading.enumerate() if each.name == "runbus-loops"]

    with watch(asyncio.get_running_loop()):
        assert len(watchdogs()) == 1
    async with asyncio.timeout(5):
        while watchdogs():
            await asyncio.sleep(0.05)
