"""Short walks: what one input, one answer and one run pass through, as a profiler sees it.

A call goes down through few rooms. It comes up again only where something is delivered: a reply to
whoever asked, and a verb's work to the thread or the loop that called it.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from test_layers import MODULES, height_of, room_of

from runbus import (
    flow,
    get_client,
    get_run_context,
    pause_flow_run,
    receive_input,
    resume_flow_run,
    run_deployment,
    send_input,
)
from runbus.web.app import Page
from runbus.web.options import read_options
from runbus.worker.serving import aserve

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from types import FrameType
    from uuid import UUID

    from servers import Server

MOST_ROOMS = 7
GUARD = "runbus.green_threads"
"""It is asked, in one line, whether threads are threads: no step on the way."""
DELIVERS = {
    "runbus.store.connection",  # replies
    "runbus.store.receiving",  # entries
    "runbus.store.maintenance",  # what holds a run is asked which one it is
    "runbus.background",  # the verb's own work, where it was called
    "runbus.execution",  # a flow's code, and its worker's slot
    "runbus.supervision",  # duties at their work
}
"""The rooms that call upwards, and for what."""
_NAMES = {str(path): name for name, path in MODULES.items()}
pytestmark = pytest.mark.parametrize("server", ["valkey"], indirect=True)


class Walk:
    """The rooms that the code of one side is seen in."""

    def __init__(self) -> None:
        self.rooms: dict[str, None] = {}
        self.upwards: set[tuple[str, str]] = set()

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """Take note of a call, as a profile function."""
        room = _room_of(frame)
        if event != "call" or room is None or room == GUARD:
            return
        self.rooms["runbus.store" if room.startswith("runbus.store.") else room] = None
        caller = frame.f_back
        while caller is not None and (calling := _room_of(caller)) is None:
            caller = caller.f_back
        if caller is not None and height_of(calling) < height_of(room):
            self.upwards.add((calling, room))

    @contextmanager
    def seen(self) -> Iterator[None]:
        """Look at what this thread does in the block."""
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(None)

    def check(self) -> None:
        """Few rooms, and no way up but to deliver."""
        assert self.rooms
        assert len(self.rooms) <= MOST_ROOMS, list(self.rooms)
        assert {each for each in self.upwards if each[0] not in DELIVERS} == set()


def _room_of(frame: FrameType) -> str | None:
    name = _NAMES.get(frame.f_code.co_filename)
    return None if name is None else room_of(name)


def beside(work: Callable[[], Coroutine[Any, Any, Any]]) -> threading.Thread:
    """Do the other side's part in a thread and a loop of its own."""
    thread = threading.Thread(target=lambda: asyncio.run(work()), daemon=True)
    thread.start()
    return thread


async def test_an_input_is_sent_and_received(server: Server) -> None:
    """From `send_input` to the receiver's variable."""
    run_id, sender, receiver = uuid4(), Walk(), Walk()
    inbox = receive_input(str, flow_run_id=run_id, timeout=20)

    async def send() -> None:
        await send_input("warm", run_id)
        await asyncio.sleep(0.2)
        with sender.seen():
            await send_input("hello", run_id)

    sending = beside(send)
    assert await inbox.next() == "warm"
    with receiver.seen():
        assert await inbox.next() == "hello"
    await asyncio.to_thread(sending.join)
    sender.check()
    receiver.check()


async def answered(give: Callable[[UUID], Coroutine[Any, Any, None]]) -> tuple[Walk, Walk]:
    """What who answers and the flow that waits are seen to do for an answer."""
    answerer, waiter, asked = Walk(), Walk(), asyncio.Queue[Any]()
    loop = asyncio.get_running_loop()

    @flow
    async def ask() -> str:
        run_id = get_run_context().run_id
        loop.call_soon_threadsafe(asked.put_nowait, run_id)
        await pause_flow_run(str, timeout=20)
        loop.call_soon_threadsafe(asked.put_nowait, run_id)
        with waiter.seen():
            return await pause_flow_run(str, timeout=20)

    asking = beside(ask)
    for is_seen in (False, True):  # what is done once, at the first use, is done
        run_id = await asked.get()
        while not (await get_client().read_flow_run(run_id)).state.is_paused():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        with answerer.seen() if is_seen else nullcontext():
            await give(run_id)
    await asyncio.to_thread(asking.join)
    return answerer, waiter


async def test_an_answer_is_given_and_returned(server: Server) -> None:
    """From `resume_flow_run` to what `pause_flow_run` returns."""

    async def give(run_id: UUID) -> None:
        await resume_flow_run(run_id, {"value": "yes"})

    for walk in await answered(give):
        walk.check()


async def test_an_answer_is_given_on_the_page(server: Server) -> None:
    """From the browser's request to its reply."""
    page = Page(read_options([]))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(page.asgi), base_url="http://127.0.0.1"
    ) as browser:

        async def give(run_id: UUID) -> None:
            reply = await browser.post(
                f"/api/runs/{run_id}/answer", json={"answer": {"value": "yes"}}
            )
            assert reply.status_code < 300, reply.text

        for walk in await answered(give):
            walk.check()


async def test_a_run_is_started_and_executed(server: Server) -> None:
    """From `run_deployment` to the result that it returns, and in the worker beside it."""

    @flow
    async def double(number: int) -> int:
        return 2 * number

    starter, worker = Walk(), Walk()
    stop = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def work() -> None:
        loops.append(asyncio.get_running_loop())
        serving = asyncio.create_task(aserve(double.to_deployment("x")))
        await stop.wait()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    working = beside(work)
    while not loops or not await get_client().read_deployments():
        await asyncio.sleep(0.01)
    assert (await run_deployment("double/x", {"number": 1})).state.result() == 2
    loops[0].call_soon_threadsafe(sys.setprofile, worker)
    with starter.seen():
        assert (await run_deployment("double/x", {"number": 2})).state.result() == 4
    loops[0].call_soon_threadsafe(sys.setprofile, None)
    loops[0].call_soon_threadsafe(stop.set)
    await asyncio.to_thread(working.join)
    starter.check()
    worker.check()
