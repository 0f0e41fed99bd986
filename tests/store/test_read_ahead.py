"""Reading ahead: in a backlog, the next page is asked for while one is handed out."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from monitor import Monitor

from runbus import receive_input
from runbus.store.tail import FIRST_PAGE, LARGEST_PAGE

if TYPE_CHECKING:
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
