"""A receiver of several types gets what was sent in order, whatever its type."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from clocks import ClockedServer

from runbus import RunInput, receive_input, send_input
from runbus.protocol.types import name_of_value
from runbus.settings import temporary_settings

if TYPE_CHECKING:
    from redis import Redis
    from servers import Server


class Order(RunInput):
    number: int


class Stop(RunInput):
    after: int


def stream_of(run_id: UUID, name: str) -> str:
    return f"runbus:{{{run_id.hex[-2:]}}}:{run_id}:input:{name}"


async def received(run_id: UUID, count: int) -> list[int]:
    """The numbers that a receiver of both types gets, stops as negative ones."""
    inbox = receive_input(Order | Stop, flow_run_id=run_id, timeout=20)
    found = [await inbox.next() for _ in range(count)]
    return [each.number if isinstance(each, Order) else -each.after for each in found]


async def sent(run_id: UUID, count: int) -> list[int]:
    """Send orders as fast as they are acknowledged, and a stop after every third one."""
    expected: list[int] = []
    for number in range(1, count + 1):
        await send_input(Order(number=number), run_id)
        expected.append(number)
        if number % 3 == 0:
            await send_input(Stop(after=number), run_id)
            expected.append(-number)
    return expected


@pytest.mark.parametrize("receives_first", [False, True])
async def test_sends_of_two_types_come_in_order(server: Server, receives_first: bool) -> None:
    """As they were acknowledged, to a receiver that was there before and to a later one."""
    run_id = uuid4()
    receiving = asyncio.create_task(received(run_id, 400)) if receives_first else None
    expected = await sent(run_id, 300)
    assert await (receiving or received(run_id, 400)) == expected


class PreOrder(RunInput):
    number: int


async def test_a_name_that_ends_like_another_one() -> None:
    """`PreOrder` and `Order` are two streams, whatever their names have in common."""
    with ClockedServer.start("valkey") as server, temporary_settings(url=server.url):
        run_id = uuid4()
        await send_input(PreOrder(number=1), run_id)
        server.jump(-3600)
        await send_input(Order(number=1), run_id)
        inbox = receive_input(PreOrder | Order, flow_run_id=run_id, timeout=20)
        assert [type(await inbox.next()).__name__ for _ in range(2)] == ["PreOrder", "Order"]


async def test_many_senders(server: Server) -> None:
    """What one sender sends after another one's was acknowledged comes after it."""
    run_id, turn, order = uuid4(), asyncio.Lock(), list[int]()

    async def send(sender: int) -> None:
        for number in range(20):
            async with turn:
                value = 100 * sender + number + 1
                is_stop = (sender + number) % 2 == 0
                await send_input(Stop(after=value) if is_stop else Order(number=value), run_id)
                order.append(-value if is_stop else value)

    await asyncio.gather(*(send(each) for each in range(8)))
    assert await received(run_id, 160) == order


async def test_unawaited_sends_of_one_type_and_a_stop_after_them(server: Server) -> None:
    """Those that go together in one call come before what is sent once they are acknowledged."""
    run_id = uuid4()
    sends = [send_input(Order(number=number), run_id) for number in range(1, 101)]
    await asyncio.gather(*sends)
    await send_input(Stop(after=100), run_id)
    assert await received(run_id, 101) == [*range(1, 101), -100]


async def test_a_clock_that_is_set_back() -> None:
    """What is sent then comes after what was sent before."""
    with ClockedServer.start("valkey") as server, temporary_settings(url=server.url):
        run_id = uuid4()
        await send_input(Order(number=1), run_id)
        server.jump(-3600)
        await send_input(Stop(after=1), run_id)
        await send_input(Order(number=2), run_id)
        await send_input(Stop(after=2), run_id)
        assert await received(run_id, 4) == [1, -1, 2, -2]


async def test_a_second_stream_that_was_made_by_hand() -> None:
    """What is sent after a receiver has read it comes after all that it has."""
    run_id = uuid4()
    with (
        ClockedServer.start("valkey") as server,
        temporary_settings(url=server.url),
        server.client() as client,
    ):
        await send_input(Order(number=1), run_id)
        stop = stream_of(run_id, name_of_value(Stop(after=0)))
        client.xadd(stop, {"value": '{"after": 1}'})
        assert await received(run_id, 2) == [1, -1]
        await until_registered(client, run_id, "Stop")
        server.jump(-3600)
        await send_input(Order(number=2), run_id)
        await send_input(Stop(after=2), run_id)
        assert await received(run_id, 4) == [1, -1, 2, -2]


async def until_registered(client: Redis, run_id: UUID, name: str) -> None:
    async with asyncio.timeout(5):
        while not client.hexists(streams_of(run_id), f"read:{name}"):
            await asyncio.sleep(0.01)


def streams_of(run_id: UUID) -> str:
    return f"runbus:{{{run_id.hex[-2:]}}}:{run_id}:streams"


async def test_a_run_with_one_type_has_no_order_to_keep(valkey: Server) -> None:
    """It pays for none; from its second type on there is one."""
    run_id = uuid4()
    with valkey.client() as client:
        await send_input(Order(number=1), run_id)
        await send_input(Order(number=2), run_id)
        await receive_input(Order, flow_run_id=run_id, timeout=20).next()
        assert client.hget(streams_of(run_id), "last") is None
        stop = await send_input(Stop(after=2), run_id)
        assert client.hget(streams_of(run_id), "last") == f"{stop.entry_id} Stop"


@pytest.mark.parametrize("user", ["sender", "blind"])
async def test_a_user_who_may_not_read_what_is_sent(valkey: Server, user: str) -> None:
    """Begins an order after all that is there by the server's clock."""
    rights = {
        "sender": ["+@all", "-xrevrange"],
        "blind": ["+@all", "-hkeys", "-xrevrange"],
    }
    with valkey.client() as client:
        client.acl_setuser("limited", enabled=True, nopass=True, keys="*", commands=rights[user])
        run_id = uuid4()
        url = valkey.url.replace("redis://", "redis://limited:any@")
        with temporary_settings(url=url):
            await send_input(Order(number=1), run_id)
            await send_input(Stop(after=1), run_id)
            last = await send_input(Order(number=2), run_id)
        assert client.hget(streams_of(run_id), "last") == f"{last.entry_id} Order"
        assert await received(run_id, 3) == [1, -1, 2]
        client.acl_deluser("limited")


@pytest.mark.parametrize("ahead", ["99999999999999-7", "99999999999999-18446744073709551000"])
async def test_an_entry_by_hand_that_is_ahead_of_the_clock(valkey: Server, ahead: str) -> None:
    """It is handed out, perhaps late, and what is sent to its stream is stored all the same."""
    run_id = uuid4()
    with valkey.client() as client:
        await send_input(Order(number=1), run_id)
        client.xadd(
            stream_of(run_id, name_of_value(Order(number=0))), {"value": '{"number": 2}'}, id=ahead
        )
        await send_input(Stop(after=2), run_id)
        await send_input(Order(number=3), run_id)
        await send_input(Stop(after=3), run_id)
    found = await received(run_id, 5)
    assert sorted(found) == [-3, -2, 1, 2, 3]
    assert [each for each in found if each > 0] == [1, 2, 3]
    assert found.index(-2) < found.index(-3)
    assert found.index(3) < found.index(-3)
