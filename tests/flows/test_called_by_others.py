"""Flows that other programs call: which ask whether a callable is async, or pickle it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from runbus import Flow, flow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers import Server

POOL = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from runbus import flow, get_run_context
@flow
def double(number: int):
    return number * 2
twice = double.with_options(name="twice")
class Shop:
    def __init__(self, price: int):
        self.price = price
    @flow
    def pay(self, count: int):
        return [get_run_context().flow_run.flow_name, self.price * count]
if __name__ == "__main__":
    ways = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(2, mp_context=ways) as pool:
        print(list(pool.map(double, [1, 2, 3])))
        print(list(pool.map(twice, [4])))
        print(list(pool.map(Shop(5).pay, [6])))
"""
done: list[str] = []


@flow
async def note(word: str) -> None:
    await asyncio.sleep(0)
    done.append(word)


@flow
def note_in_thread(word: str) -> None:
    done.append(word)


class Desk:
    @flow
    async def note(self, word: str) -> None:
        await asyncio.sleep(0)
        done.append(word)


ASYNC: list[Any] = [note, note.with_options(name="noted"), Desk().note]
ASKED: list[Callable[[object], bool]] = [asyncio.iscoroutinefunction]
if sys.version_info >= (3, 12):
    ASKED.append(inspect.iscoroutinefunction)


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    done.clear()


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("called", ASYNC)
def test_an_async_flow_says_so(asked: Callable[[object], bool], called: object) -> None:
    """Whoever asks as the standard library does is told that calling it gives a coroutine."""
    assert asked(called)


@pytest.mark.parametrize("asked", ASKED)
def test_a_sync_flow_does_not(asked: Callable[[object], bool]) -> None:
    """Calling it gives its value."""
    assert not asked(note_in_thread)


async def test_background_tasks_of_starlette(valkey: Server) -> None:
    """Both kinds of flow are called to their end once the response is on its way."""

    async def one(_: object) -> PlainTextResponse:
        return PlainTextResponse("on its way", background=BackgroundTask(note, "one"))

    async def several(_: object) -> PlainTextResponse:
        tasks = BackgroundTasks()
        tasks.add_task(note, word="first")
        tasks.add_task(Desk().note, "second")
        tasks.add_task(note_in_thread, "third")
        tasks.add_task(functools.partial(note, word="fourth"))
        return PlainTextResponse("on their way", background=tasks)

    app = Starlette(routes=[Route("/one", one), Route("/several", several)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        await client.get("/one")
        await client.get("/several")
    assert done == ["one", "first", "second", "third", "fourth"]


async def test_jobs_of_apscheduler(valkey: Server) -> None:
    """Its loop's executor awaits an async flow; a sync one has a thread."""
    schedulers = pytest.importorskip("apscheduler.schedulers.asyncio")
    scheduler = schedulers.AsyncIOScheduler()
    scheduler.start()
    scheduler.add_job(note, args=["async"])
    scheduler.add_job(note_in_thread, args=["sync"])
    while len(done) < 2:
        await asyncio.sleep(0.01)
    scheduler.shutdown()
    assert sorted(done) == ["async", "sync"]


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_a_pool_of_processes(valkey: Server, tmp_path: Path, way: str) -> None:
    """A flow is called in each of them: it is found there by the path of its import."""
    script = tmp_path / "pooled.py"
    script.write_text(POOL)
    environment = {**os.environ, "RUNBUS_URL": valkey.url}
    ended = subprocess.run(
        [sys.executable, script, way],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.stdout.splitlines() == ["[2, 4, 6]", "[8]", "[['pay', 30]]"], ended.stderr


def test_pickling() -> None:
    """A flow comes back as the one that its module has; one that no import finds is refused."""
    assert pickle.loads(pickle.dumps(note)) is note
    noted = pickle.loads(pickle.dumps(note.with_options(name="noted", retries=2)))
    assert (noted.fn, noted.name, noted.retries) == (note.fn, "noted", 2)

    @flow
    def local() -> None: ...

    with pytest.raises((pickle.PicklingError, AttributeError), match="local"):
        pickle.dumps(local)
    assert isinstance(local, Flow)
