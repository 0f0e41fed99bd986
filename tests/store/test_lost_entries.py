"""A failover that loses entries: receivers that had read them find their place again."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from proxy import Proxy

from runbus import receive_input, send_input
from runbus.settings import temporary_settings
from runbus.store.receiving.recent_entries import BEGINNING, RecentEntries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers import Server


@dataclass
class Pair:
    """A primary and its replica; clients come by a name that leads to one of them."""

    primary: Server
    replica: Server
    name: Proxy
    replication: Proxy

    def lose_what_comes(self) -> None:
        """Let what is written from now on never reach the replica."""
        self.replication.half_open()
        self.replication.refuse()

    def fail_over(self) -> None:
        """Kill the primary and promote the replica."""
        self.primary.kill()
        with self.replica.client() as client:
            client.replicaof("NO", "ONE")
        self.name.redirect(self.replica.host, self.replica.port)
        self.name.cut()


@pytest.fixture(params=["valkey", "redis"])
def pair(request: pytest.FixtureRequest, start_server: Callable[..., Server]) -> Iterator[Pair]:
    """A pair of each engine in turn, which runbus talks to by its name."""
    with _pair(request.param, start_server) as pair, temporary_settings(url=pair.name.url):
        yield pair


@contextmanager
def _pair(engine: str, start_server: Callable[..., Server]) -> Iterator[Pair]:
    with (
        start_server(engine, "--repl-diskless-sync-delay", "0") as primary,
        Proxy(primary.host, primary.port) as replication,
        start_server(engine, "--replicaof", f"127.0.0.1 {replication.port}") as replica,
        Proxy(primary.host, primary.port) as name,
    ):
        pair = Pair(primary, replica, name, replication)
        wait_for_replica(pair, "anything", b"")
        yield pair


def wait_for_replica(pair: Pair, key: str, entry_id: str | bytes) -> None:
    """Wait until the replica has an entry, or is in sync when none is named."""
    with pair.replica.client() as client:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if client.info("replication").get("master_link_status") == "up" and (
                not entry_id or client.xrange(key, entry_id, entry_id)
            ):
                return
            time.sleep(0.01)
    raise TimeoutError("the replica is not in sync")


def stream_of(run_id: UUID, name: str = "int") -> str:
    return f"runbus:{{{run_id.hex[-2:]}}}:{run_id}:input:{name}"


def just_after(entry_id: str, number: int) -> str:
    """An id that a primary whose clock is behind gives to a new entry."""
    return f"{entry_id}{number:03}"  # the number within the millisecond is longer


async def test_a_receiver_is_ahead_of_the_stream(pair: Pair) -> None:
    """Entries that were read get lost; new ones with lower ids are received, and none twice."""
    run_id = uuid4()
    inbox = receive_input(int, flow_run_id=run_id, timeout=30)
    for number in range(3):
        kept = await send_input(number, run_id, key=f"key-{number}")
    await asyncio.to_thread(wait_for_replica, pair, stream_of(run_id), kept.entry_id)
    pair.lose_what_comes()
    for number in range(3, 6):
        await send_input(number, run_id, key=f"key-{number}")
    assert [await anext(inbox) for _ in range(6)] == [0, 1, 2, 3, 4, 5]
    waiting = asyncio.ensure_future(anext(inbox))
    await asyncio.to_thread(pair.fail_over)
    with pair.replica.client() as client:
        key = stream_of(run_id)
        assert client.xinfo_stream(key)["last-generated-id"] == kept.entry_id
        # Of a sender that was not answered, and of another whose input is new.
        client.xadd(key, {"key": "key-4", "value": "4"}, just_after(kept.entry_id, 1))
        client.xadd(key, {"key": "new", "value": "60"}, just_after(kept.entry_id, 2))
    assert await waiting == 60
    assert not (await send_input(5, run_id, key="key-5")).duplicate  # for its mark is lost as well
    await send_input(61, run_id)
    assert await anext(inbox) == 61


async def test_nobody_waits_while_entries_get_lost(pair: Pair) -> None:
    """A receiver that is busy through a failover looks for its place when it comes back."""
    run_id = uuid4()
    inbox = receive_input(int, flow_run_id=run_id, timeout=30, poll_interval=1)
    kept = await send_input(0, run_id)
    await asyncio.to_thread(wait_for_replica, pair, stream_of(run_id), kept.entry_id)
    pair.lose_what_comes()
    await send_input(1, run_id)
    assert [await anext(inbox), await anext(inbox)] == [0, 1]
    await asyncio.to_thread(pair.fail_over)
    with pair.replica.client() as client:
        client.xadd(stream_of(run_id), {"value": "2"}, just_after(kept.entry_id, 1))
    # By now the stream is past the place of the receiver again.
    await send_input(3, run_id)
    assert [await anext(inbox), await anext(inbox)] == [2, 3]


async def test_several_streams_go_back_each_for_itself(pair: Pair) -> None:
    """A receiver of a union has a place in each stream."""
    run_id = uuid4()
    inbox = receive_input(int | str, flow_run_id=run_id, timeout=30)
    kept = await send_input(0, run_id)
    words = await send_input("zero", run_id)
    await asyncio.to_thread(wait_for_replica, pair, stream_of(run_id, "str"), words.entry_id)
    pair.lose_what_comes()
    await send_input(1, run_id)
    assert [await anext(inbox) for _ in range(3)] == [0, "zero", 1]
    waiting = asyncio.ensure_future(anext(inbox))
    await asyncio.to_thread(pair.fail_over)
    with pair.replica.client() as client:
        client.xadd(stream_of(run_id), {"value": "2"}, just_after(kept.entry_id, 1))
    assert await waiting == 2
    await send_input("three", run_id)
    assert await anext(inbox) == "three"


async def test_entries_that_somebody_deletes(
    server: Server, configure: Callable[..., None]
) -> None:
    """A receiver whose last entry was deleted by hand goes on without seeing any twice."""
    run_id = uuid4()
    with Proxy(server.host, server.port) as proxy, server.client() as client:
        configure(url=proxy.url)
        inbox = receive_input(int, flow_run_id=run_id, timeout=20)
        sent = [await send_input(number, run_id) for number in range(40)]
        assert [await anext(inbox) for _ in range(40)] == list(range(40))
        client.xdel(stream_of(run_id), sent[-1].entry_id)
        proxy.cut()
        await send_input(40, run_id)
        assert await anext(inbox) == 40


def entries(*numbers: int) -> list[tuple[bytes, list[bytes]]]:
    return [(b"%d-0" % each, [b"key", b"key-%d" % each, b"value", b"1"]) for each in numbers]


def test_what_was_seen_is_dropped_after_going_back() -> None:
    """The same key under another id is no news, and neither is an id without a key."""
    seen = RecentEntries(8)
    by_hand = (b"3-0", [b"value", b"1"])
    assert seen.news([*entries(1, 2), by_hand]) == [*entries(1, 2), by_hand]
    assert seen.go_back() == (BEGINNING, 0)
    again = (b"2-5", [b"key", b"key-2", b"value", b"1"])
    assert seen.news([*entries(1), again, by_hand, *entries(4)]) == entries(4)
    assert seen.news(entries(1, 4, 5)) == entries(4, 5)  # 4 came after going back


def test_no_more_is_remembered_than_so_much() -> None:
    """Of a long stream the last entries are remembered, and what is read again begins there."""
    seen = RecentEntries(8)
    for number in range(100):
        seen.news(entries(number))
    assert seen.go_back() == (b"92-0", 93)
    assert seen.news(entries(*range(93, 102))) == entries(100, 101)
