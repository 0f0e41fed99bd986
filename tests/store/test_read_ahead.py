"""Reading ahead: in a backlog, the next page is asked for while one is handed out."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from monitor import Monitor

from runbus import receive_input
from runbus.errors import ReceiveTimeout, UsageError
from runbus.store.receiving import stream_consumer
from runbus.store.receiving.position import FIRST_PAGE, LARGEST_PAGE, Position, Read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import Server

    from runbus.input.inbox import Inbox

# The pages grow fourfold.
SECOND_PAGE = 4 * FIRST_PAGE


def add(server: Server, run_id: UUID, first: int, count: int) -> None:
    """Store inputs as somebody else does, without this process's loops."""
    with server.client() as client, client.pipeline(transaction=False) as pipeline:
        key = f"runbus:{{{run_id.hex[-2:]}}}:{run_id}:input:int"
        for number in range(first, first + count):
            pipeline.xadd(key, {"value": str(number)})
        pipeline.expire(key, 60)
        pipeline.execute()


async def take(inbox: Inbox[int], count: int) -> list[int]:
    return [await anext(inbox) for _ in range(count)]


async def test_a_poll_reads_what_came_after_the_read_ahead(server: Server) -> None:
    """What was read ahead may be older than the question."""
    run_id = uuid4()
    add(server, run_id, 0, FIRST_PAGE + SECOND_PAGE)
    inbox = receive_input(int, flow_run_id=run_id, timeout=0)
    assert len(await take(inbox, FIRST_PAGE + SECOND_PAGE)) == FIRST_PAGE + SECOND_PAGE
    time.sleep(0.1)  # noqa: ASYNC251  (the read ahead is answered, and nobody has heard it)
    add(server, run_id, 7000, 1)
    assert await anext(inbox) == 7000


async def test_no_more_than_one_page_ahead(server: Server) -> None:
    """A receiver that takes its time has the page that it is in, and the next one."""
    run_id = uuid4()
    add(server, run_id, 0, 10 * LARGEST_PAGE)
    inbox = receive_input(int, flow_run_id=run_id, timeout=5)
    with server.client() as client, Monitor(client) as monitor:
        for number in range(SECOND_PAGE):
            assert await anext(inbox) == number
            await asyncio.sleep(0.001)
    reads = [each.words for each in monitor.asked if each.words[0] == "XREAD"]
    assert [int(words[2]) for words in reads] == [FIRST_PAGE, SECOND_PAGE, LARGEST_PAGE]
    assert await take(inbox, 3000) == list(range(SECOND_PAGE, SECOND_PAGE + 3000))


def test_a_place_in_a_backlog_moves_between_loops(server: Server) -> None:
    """Each loop, and threads between them, go on where the other was, with a page on its way."""
    run_id, total = uuid4(), 6000
    add(server, run_id, 0, total)
    inbox = receive_input(int, flow_run_id=run_id, timeout=5)
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    received: list[int] = []
    try:
        while len(received) < total:
            for loop in (first, second):
                count = min(97, total - len(received))
                received += loop.run_until_complete(take(inbox, count))
            received += [next(inbox) for _ in range(min(61, total - len(received)))]
    finally:
        for loop in (first, second):
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
    assert received == list(range(total))


async def take_all(inbox: Inbox[int], received: list[int]) -> None:
    """Receive on a loop, until nothing comes; try again while another loop waits."""
    while True:
        try:
            received.append(await anext(inbox))
        except UsageError:
            await asyncio.sleep(0.0005)
        except ReceiveTimeout:
            return


def take_all_in_a_thread(inbox: Inbox[int], received: list[int]) -> None:
    while True:
        try:
            received.append(next(inbox))
        except UsageError:
            time.sleep(0.0005)
        except ReceiveTimeout:
            return


@pytest.fixture
def many_switches() -> Iterator[None]:
    """Let threads take turns after each few instructions."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("many_switches")
def test_several_loops_at_once(valkey: Server) -> None:
    """One of them receives, the others are told; each input comes once, to each in order."""
    run_id, total = uuid4(), 6000
    add(valkey, run_id, 0, total)
    inbox = receive_input(int, flow_run_id=run_id, timeout=1)
    received: list[list[int]] = [[], [], []]
    threads = [
        *(
            threading.Thread(target=lambda each=each: asyncio.run(take_all(inbox, each)))
            for each in received[:2]
        ),
        threading.Thread(target=take_all_in_a_thread, args=(inbox, received[2])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(numbers == sorted(numbers) for numbers in received)
    assert sorted(each for numbers in received for each in numbers) == list(range(total))


def test_a_fork_while_another_thread_reads(valkey: Server) -> None:
    """The child reads on, whatever the other thread was in the middle of."""
    run_id = uuid4()
    add(valkey, run_id, 5, 1)
    held = threading.Event()

    def read() -> None:
        with stream_consumer._changing:
            held.set()
            time.sleep(0.2)

    thread = threading.Thread(target=read)
    thread.start()
    held.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        child = os.fork()
    if child == 0:
        received = next(receive_input(int, flow_run_id=run_id, timeout=5))
        os._exit(received)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5


async def test_a_poll_after_entries_were_lost(
    valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read again and dropped may be older than the question, too."""
    run_id = uuid4()
    add(valkey, run_id, 0, 4)
    inbox = receive_input(int, flow_run_id=run_id, timeout=0)
    assert await take(inbox, 4) == [0, 1, 2, 3]
    reading_again = asyncio.Event()
    next_read = Position.next_read

    def note(self: Position, connection: object) -> Read:
        if self.cursor == "0-0":
            reading_again.set()
        return next_read(self, connection)

    monkeypatch.setattr(Position, "next_read", note)
    with valkey.client() as client:
        (key,) = client.scan_iter(f"*{run_id}:input:int")
        client.xdel(key, client.xrevrange(key, count=1)[0][0])  # as a failover may lose it
        for each in client.client_list():
            if each["name"] == "runbus":
                client.client_kill_filter(_id=each["id"])
    await asyncio.sleep(0.05)
    waiting = asyncio.ensure_future(anext(inbox))
    await reading_again.wait()
    time.sleep(0.1)  # noqa: ASYNC251  (it is answered, and nobody has heard it)
    waiting.cancel()
    add(valkey, run_id, 9, 1)
    assert await anext(inbox) == 9
