"""Sentinels that are behind: what they say is not believed while others know better."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from clusters import Sentinel, SentinelGroup, until
from proxy import Proxy
from servers import Server

from runbus import receive_input, send_input
from runbus.settings import temporary_settings
from runbus.store.topology import known_primary as known_primaries
from runbus.store.topology.known_primary import UNNUMBERED, KnownPrimary, Named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers import Engine

ENGINES = ["valkey", "redis"]
FORMER, NEW = ("10.0.0.1", 6379), ("10.0.0.2", 6379)


class TwoPrimaries:
    """A former primary, which still calls itself one, the new one, and what sentinels say."""

    def __init__(self, engine: Engine, stack: ExitStack) -> None:
        self._engine, self._stack = engine, stack
        self.former = stack.enter_context(Server.start(engine))
        self.new = stack.enter_context(Server.start(engine))

    def sentinel(self, primary: Server, epoch: int) -> Sentinel:
        return self._stack.enter_context(Sentinel.that_knows(self._engine, primary, epoch))

    def name_behind(self, sentinel: Sentinel) -> Proxy:
        """A name that leads to a sentinel, and may lead to another one later."""
        return self._stack.enter_context(Proxy(sentinel.host, sentinel.port))


@pytest.fixture(params=ENGINES)
def two(request: pytest.FixtureRequest) -> Iterator[TwoPrimaries]:
    """Two primaries of each engine in turn."""
    with ExitStack() as stack:
        yield TwoPrimaries(request.param, stack)


def url_of(*sentinels: Sentinel | Proxy, options: str = "") -> str:
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in sentinels)
    return f"redis+sentinel://{hosts}/{SentinelGroup.name}{options}"


def stored(server: Server, run_id: UUID) -> list[str]:
    """The inputs that a server has of a run."""
    with server.client() as client:
        key = f"runbus:{{{run_id.hex[-2:]}}}:{run_id}:input:int"
        return [fields["value"] for _, fields in client.xrange(key)]


async def eventually(is_so: Callable[[], object]) -> None:
    await asyncio.to_thread(until, is_so, "what was to be")


async def test_the_newest_of_what_sentinels_say_is_believed(two: TwoPrimaries) -> None:
    """One that is behind stands first in the URL, and its primary still calls itself one."""
    known = [two.sentinel(two.former, 1), two.sentinel(two.new, 2), two.sentinel(two.new, 2)]
    run_id = uuid4()
    with temporary_settings(url=url_of(*known)):
        await send_input(1, run_id)
    assert (stored(two.former, run_id), stored(two.new, run_id)) == ([], ["1"])


async def test_one_that_knows_is_believed_beside_two_that_do_not(two: TwoPrimaries) -> None:
    """Just after a failover the sentinel that led it is the only one to know."""
    known = [two.sentinel(two.former, 1), two.sentinel(two.former, 1), two.sentinel(two.new, 2)]
    run_id = uuid4()
    with temporary_settings(url=url_of(*known)):
        await send_input(1, run_id)
    assert stored(two.new, run_id) == ["1"]


async def test_a_frozen_sentinel_is_not_waited_for(two: TwoPrimaries) -> None:
    """When most have answered, the others get no second more."""
    known = [two.sentinel(two.former, 1), two.sentinel(two.new, 2), two.sentinel(two.new, 2)]
    known[1].freeze()
    run_id = uuid4()
    quickest = math.inf
    for number in range(5):  # on a busy machine one may take long all the same
        with temporary_settings(url=url_of(*known), retry_seconds=10 + number):  # a new loop's bus
            started = time.monotonic()
            await send_input(number, run_id)
            quickest = min(quickest, time.monotonic() - started)
    assert quickest < 0.8
    assert stored(two.new, run_id) == ["0", "1", "2", "3", "4"]


class Loop:
    """An event loop in a thread of its own, which sends one input after another."""

    def __init__(self) -> None:
        self.run_id = uuid4()
        self.sent = 0
        self._is_over = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send_on()))

    async def _send_on(self) -> None:
        while not self._is_over:
            await send_input(self.sent, self.run_id)
            self.sent += 1
            await asyncio.sleep(0.005)

    @contextmanager
    def running(self) -> Iterator[Loop]:
        self._thread.start()
        try:
            yield self
        finally:
            self._is_over = True
            self._thread.join()


async def test_what_one_loop_knows_holds_for_all(two: TwoPrimaries) -> None:
    """One is told of a failover, the other only by a sentinel that is behind: both move."""
    behind, ahead = two.sentinel(two.former, 1), two.sentinel(two.new, 2)
    name = two.name_behind(behind)
    with temporary_settings(url=url_of(name)), Loop().running() as first:
        await eventually(lambda: stored(two.former, first.run_id))
        name.redirect(ahead.host, ahead.port)
        with Loop().running() as second:
            await eventually(lambda: stored(two.new, second.run_id))
            name.redirect(behind.host, behind.port)
            known = time.monotonic()
            await eventually(lambda: stored(two.new, first.run_id))
            assert time.monotonic() - known < 2
            assert not stored(two.former, second.run_id)
            with Loop().running() as third:  # which begins when nobody says it any more
                await eventually(lambda: stored(two.new, third.run_id))
                assert not stored(two.former, third.run_id)


async def test_every_connection_leaves_a_former_primary(two: TwoPrimaries) -> None:
    """One connection was lost and made anew to the new primary: that others follow, too."""
    behind, ahead = two.sentinel(two.former, 1), two.sentinel(two.new, 2)
    name, run_id = two.name_behind(behind), uuid4()
    with temporary_settings(url=url_of(name)):
        inbox = receive_input(int, flow_run_id=run_id, timeout=20)
        await send_input(1, run_id)
        assert await anext(inbox) == 1
        waiting = asyncio.ensure_future(anext(inbox))
        await asyncio.sleep(0.1)
        name.redirect(ahead.host, ahead.port)
        cut_senders(two.former)
        await send_input(2, run_id)
        assert stored(two.new, run_id) == ["2"]
        assert await asyncio.wait_for(waiting, 3) == 2


def cut_senders(server: Server) -> None:
    """End the connections of runbus that wait for nothing."""
    with server.client() as client:
        for each in client.client_list():
            if each["name"] == "runbus" and "t" not in each["flags"]:
                client.client_kill_filter(_id=each["id"])


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_sentinel_that_was_asleep_during_a_failover(engine: Engine) -> None:
    """It is awake again, the former primary is none yet: two loops agree, and lose nothing."""
    with SentinelGroup(engine) as group, temporary_settings(url=group.url):
        with Loop().running() as first, Loop().running() as second:
            before = group.primary()
            await eventually(lambda: first.sent > 10 and second.sent > 10)
            group.sentinels[0].freeze()
            group.sentinel_clients[1].execute_command("SENTINEL", "FAILOVER", group.name)
            new = await asyncio.to_thread(until, lambda: 1 + group.primary(but=before), "a new one")
            both = [(loop, group.nodes[new - 1]) for loop in (first, second)]
            # What is sent from now on is not replicated to it any more.
            moved = [loop.sent + 1 for loop, _ in both]
            for (loop, node), since in zip(both, moved, strict=True):
                await eventually(lambda a=node, b=loop, c=since: stored_since(a, b, c))
            group.sentinels[0].thaw()
            moved = [stored_since(node, loop, 0)[-1] for loop, node in both]
            # Who connects anew may be told by the one that is behind.
            for node in (group.nodes[before], group.nodes[new - 1]):
                with node.client() as client:
                    client.execute_command("CLIENT", "KILL", "TYPE", "normal")
            await eventually(
                lambda: all(x.sent > y + 200 for (x, _), y in zip(both, moved, strict=True))
            )
        for (loop, node), since in zip(both, moved, strict=True):
            numbers = set(map(int, stored(node, loop.run_id)))
            assert numbers >= set(range(since, loop.sent))


def stored_since(server: Server, loop: Loop, number: int) -> list[int]:
    """The numbers that a server has of those that a loop sent, from one on."""
    return [found for found in map(int, stored(server, loop.run_id)) if found >= number]


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_frozen_primary_that_is_connected_to_is_left(engine: Engine) -> None:
    """Who has begun to connect to it, and would wait for long, goes to the new one at once."""
    with SentinelGroup(engine) as group:
        before, run_id = group.primary(), uuid4()
        group.nodes[before].freeze()
        with temporary_settings(url=group.url, connect_timeout_seconds=30, retry_seconds=60):
            sent = asyncio.ensure_future(send_input(1, run_id))
            await asyncio.to_thread(until, lambda: are_told(group, before), "all are told")
            await asyncio.wait_for(sent, 3)


def are_told(group: SentinelGroup, before: int) -> bool:
    """Whether all sentinels name another primary."""
    ports = {
        each.sentinel_get_master_addr_by_name(group.name)[1] for each in group.sentinel_clients
    }
    return group.nodes[before].port not in ports


async def test_a_former_primary_wakes_up_while_it_is_connected_to(two: TwoPrimaries) -> None:
    """A connection that was begun before the failover is not used when it comes about after it."""
    behind, ahead = two.sentinel(two.former, 1), two.sentinel(two.new, 2)
    name, run_id = two.name_behind(behind), uuid4()
    two.former.freeze()
    with temporary_settings(url=url_of(name), connect_timeout_seconds=30, retry_seconds=60):
        sent = asyncio.ensure_future(send_input(1, run_id))
        await asyncio.sleep(0.2)
        name.redirect(ahead.host, ahead.port)
        with Loop().running() as other:
            await eventually(lambda: stored(two.new, other.run_id))
            two.former.thaw()
            await sent
    assert (stored(two.former, run_id), stored(two.new, run_id)) == ([], ["1"])


async def test_sentinels_that_were_set_up_anew(
    two: TwoPrimaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They count from 0 again, and are believed when most have said so for a while."""
    monkeypatch.setattr(known_primaries, "FORGET_SECONDS", 1)
    name, run_id = two.name_behind(two.sentinel(two.former, 7)), uuid4()
    anew = two.sentinel(two.new, 0)
    with temporary_settings(url=url_of(name)):
        await send_input(1, run_id)
        name.redirect(anew.host, anew.port)
        number = 1
        while not stored(two.new, run_id):
            number += 1
            await send_input(number, run_id)
        assert number > 1


async def test_sentinels_that_do_not_tell_epochs(
    two: TwoPrimaries, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the right to ask for them most win, and somebody is told once what is missing."""
    known = [two.sentinel(two.former, 1), two.sentinel(two.new, 2), two.sentinel(two.new, 2)]
    for each in known:
        with each.client() as client:
            rights = ("-@all", "+@connection", "+sentinel|get-master-addr-by-name")
            client.execute_command("ACL", "SETUSER", "guest", "on", ">pass", *rights)
    url = url_of(*known, options="?sentinel_username=guest&sentinel_password=pass")
    run_id = uuid4()
    with temporary_settings(url=url), caplog.at_level(logging.WARNING, "runbus"):
        await send_input(1, run_id)
        await asyncio.sleep(0.7)  # one look more
    assert stored(two.new, run_id) == ["1"]
    assert [each.getMessage().count("+sentinel|master") for each in caplog.records] == [1]


def named(address: tuple[str, int], epoch: int = UNNUMBERED) -> Named:
    return Named(address=address, epoch=epoch)


def test_an_older_epoch_is_denied_while_somebody_knows_the_newer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Most say otherwise: they are believed only after a while without a word of the newer one."""
    known = KnownPrimary()
    assert known.learn([named(FORMER, 1), named(NEW, 2)], are_most=True) == NEW
    monkeypatch.setattr(known_primaries, "FORGET_SECONDS", 0.05)
    assert known.learn([named(FORMER, 1)], are_most=True) == NEW
    time.sleep(0.06)
    assert known.learn([named(NEW, 2)], are_most=False) == NEW
    assert known.learn([named(FORMER, 1)], are_most=True) == NEW
    time.sleep(0.06)
    assert known.learn([named(FORMER, 1)], are_most=False) == NEW
    assert known.learn([named(FORMER, 1)], are_most=True) == FORMER


def test_one_that_is_no_primary_gives_way_within_its_epoch() -> None:
    """And only then: a primary that cannot be reached for a moment is not left for an older one."""
    known = KnownPrimary()
    split = [named(FORMER), named(FORMER), named(NEW)]
    assert known.learn(split, are_most=True) == FORMER
    known.reject(FORMER)
    assert known.learn(split, are_most=True) == NEW
    known.learn([named(FORMER, 1), named(NEW, 2)], are_most=True)
    known.reject(NEW)
    assert known.address == NEW
