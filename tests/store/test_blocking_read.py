"""The blocking read: a conversation is faster by it, and never depends on it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from monitor import Monitor
from proxy import Proxy

from runbus import receive_input, send_input
from runbus.errors import ReceiveTimeout
from runbus.settings import temporary_settings

if TYPE_CHECKING:
    from redis import Redis
    from servers import Server


def blocked(client: Redis) -> list[dict[str, Any]]:
    """The connections that wait in a blocking read."""
    return [each for each in client.client_list() if "b" in each["flags"]]


async def converse(inbox: Any, run_id: Any, numbers: range, rest: float = 0) -> list[int]:
    """Send numbers one by one, each after the one before was received, and after a rest (s)."""
    received = []
    for number in numbers:
        next_one = asyncio.ensure_future(anext(inbox))
        await asyncio.sleep(rest)
        await send_input(number, run_id)
        received.append(await next_one)
    return received


async def test_a_conversation_gets_a_blocking_read(server: Server) -> None:
    """After a few inputs one by one, the receiver waits in one blocking read, on one connection."""
    run_id = uuid4()
    inbox = receive_input(int, flow_run_id=run_id, timeout=20)
    assert await converse(inbox, run_id, range(20)) == list(range(20))
    waiting = asyncio.ensure_future(anext(inbox))
    with server.client() as client:
        while not blocked(client):
            await asyncio.sleep(0.001)
        assert len(blocked(client)) == 1
        assert len([each for each in client.client_list() if each["name"] == "runbus"]) == 3
    await send_input(20, run_id)
    assert await waiting == 20


@pytest.mark.parametrize(("poll_interval", "armed"), [(10, False), (1, True)])
async def test_a_conversation_is_read_once(
    server: Server, poll_interval: float, armed: bool
) -> None:
    """It needs no push, unless a dead connection has to be found sooner than a reply is late."""
    run_id = uuid4()
    inbox = receive_input(int, flow_run_id=run_id, timeout=20, poll_interval=poll_interval)
    await converse(inbox, run_id, range(20))
    with server.client() as client, Monitor(client) as monitor:
        await converse(inbox, run_id, range(20, 40))
    reads = [each.words for each in monitor.asked if each.words[0] == "XREAD"]
    blocking = [words for words in reads if "BLOCK" in words]
    assert len(blocking) >= 19
    assert (len(reads) > len(blocking)) is armed


async def test_a_short_wait_in_a_conversation_ends_on_time(server: Server) -> None:
    """Although the blocking read lasts longer: nothing has to be read when the time is over."""
    run_id, waits = uuid4(), []
    with Proxy("127.0.0.1", server.port) as proxy, temporary_settings(url=proxy.url):
        inbox = receive_input(int, flow_run_id=run_id, timeout=1)
        # Again, as on a busy machine a conversation may be too slow to be one.
        while len(waits) < 4 and min(waits, default=2) > 1.5:
            proxy.delay(0)
            await converse(inbox, run_id, range(20))
            proxy.delay(0.4)
            began = time.monotonic()
            with pytest.raises(ReceiveTimeout):
                await anext(inbox)
            waits.append(time.monotonic() - began)
    assert 0.99 < min(waits) < 1.6, "a request and its reply take 0.8 s"


async def test_a_conversation_outlives_a_silent_death(server: Server) -> None:
    """Its connections say nothing more, and who waits hears of the next input all the same."""
    run_id = uuid4()
    with (
        Proxy("127.0.0.1", server.port) as proxy,
        temporary_settings(url=proxy.url, reply_timeout_seconds=1),
    ):
        inbox = receive_input(int, flow_run_id=run_id, timeout=20, poll_interval=2)
        await converse(inbox, run_id, range(20))
        waiting = asyncio.ensure_future(anext(inbox))
        with server.client() as client:
            while not blocked(client):
                await asyncio.sleep(0.001)
            proxy.half_open()
            client.xadd(f"runbus:{{{run_id.hex[-2:]}}}:{run_id}:input:int", {"value": "20"})
        assert await asyncio.wait_for(waiting, 8) == 20


@pytest.mark.long
async def test_a_conversation_lives_through_a_lost_blocking_read(server: Server) -> None:
    """Its connection is killed or unblocked at any moment; nothing is lost, doubled or late."""
    run_id, start = uuid4(), 0
    inbox = receive_input(int, flow_run_id=run_id, timeout=20)
    with server.client() as client:
        disturbing = asyncio.create_task(asyncio.to_thread(disturb, client, times=100))
        while not disturbing.done():
            numbers = range(start, start + 50)
            # With a rest, in which it is to be seen that it waits.
            assert await converse(inbox, run_id, numbers, rest=0.002) == list(numbers)
            start += 50
    await disturbing


def disturb(client: Redis, times: int) -> None:
    """Kill and unblock blocking reads in turn."""
    while times:
        for each in blocked(client):
            if times % 2:
                times -= client.client_unblock(int(each["id"]))
            else:
                times -= client.client_kill_filter(_id=each["id"])


async def test_many_conversations_share_the_blocking_read(server: Server) -> None:
    """Fifty receivers converse at once; each gets its own inputs, in order."""
    run_ids = [uuid4() for _ in range(50)]
    inboxes = [receive_input(int, flow_run_id=run_id, timeout=20) for run_id in run_ids]
    talks = [
        converse(inbox, run_id, range(30)) for inbox, run_id in zip(inboxes, run_ids, strict=True)
    ]
    assert await asyncio.gather(*talks) == [list(range(30))] * 50


async def test_a_cancelled_wait_leaves_the_blocking_read_in_order(server: Server) -> None:
    """What the blocking read brings after the wait was cancelled is received by the next."""
    run_id = uuid4()
    inbox = receive_input(int, flow_run_id=run_id, timeout=20)
    await converse(inbox, run_id, range(10))
    for number in range(10, 40):
        waiting = asyncio.ensure_future(anext(inbox))
        await asyncio.sleep(0)
        waiting.cancel()
        await send_input(number, run_id)
        assert await anext(inbox) == number


async def test_a_burst_in_a_conversation(server: Server) -> None:
    """Hundreds of inputs at once come by both ways, and are received once each."""
    run_id = uuid4()
    inbox = receive_input(int, flow_run_id=run_id, timeout=20)
    await converse(inbox, run_id, range(10))
    receiving = asyncio.ensure_future(converse_until(inbox, 2000))
    for number in range(10, 2000):
        send_input(number, run_id)
        if number % 7 == 0:
            await asyncio.sleep(0)
    assert await receiving == list(range(10, 2000))


async def converse_until(inbox: Any, end: int) -> list[int]:
    """Receive until the last number before the end."""
    received: list[int] = []
    while not received or received[-1] != end - 1:
        received.append(await anext(inbox))
    return received
