"""A sentinel group: senders and waiters follow the primary."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from clusters import Sentinel, SentinelGroup, until

from runbus import receive_input, send_input
from runbus.errors import RunbusError, ServerRefused, ServerUnreachable, SettingsError
from runbus.settings import temporary_settings
from runbus.store.bus import current_bus
from runbus.store.topology import sentinel as topology_of_sentinels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers import Engine, Server

NOBODY = "127.0.0.1:1"


@pytest.mark.parametrize("engine", ["valkey", "redis"])
@pytest.mark.parametrize("how", ["kill", "freeze", "by hand"])
async def test_waiters_and_senders_follow_the_primary(engine: Engine, how: str) -> None:
    """The primary dies, freezes or is replaced: all go on within 2 s after the new one answers."""
    with SentinelGroup(engine) as group, temporary_settings(url=group.url):
        run_id, quiet = uuid4(), uuid4()
        waiting = asyncio.ensure_future(anext(receive_input(int, flow_run_id=quiet, timeout=40)))
        await send_input(0, run_id)
        await asyncio.sleep(0.1)
        before = group.primary()
        await asyncio.to_thread(end_primary, group, before, how)
        sent = send_input(1, run_id)
        new = await asyncio.to_thread(until, lambda: 1 + group.primary(but=before), "a new primary")
        started = time.monotonic()
        await sent
        assert time.monotonic() - started < 2
        name = f"runbus:{{{quiet.hex[-2:]}}}:{quiet}:input:int"
        with group.nodes[new - 1].client() as client:
            client.xadd(name, {"value": "5"})
        assert await waiting == 5
        assert time.monotonic() - started < 2
        inbox = receive_input(int, flow_run_id=run_id, timeout=5)
        assert [await anext(inbox), await anext(inbox)] == [0, 1]


def end_primary(group: SentinelGroup, number: int, how: str) -> None:
    if how == "by hand":
        group.sentinel_clients[0].execute_command("SENTINEL", "FAILOVER", group.name)
    else:
        getattr(group.nodes[number], how)()


@pytest.mark.parametrize("engine", ["valkey", "redis"])
async def test_a_failover_by_the_runbook_loses_nothing(engine: Engine) -> None:
    """What was confirmed while it went on is all there afterwards, once and in order."""
    run_ids, confirmed, is_over = [uuid4() for _ in range(4)], [0] * 4, asyncio.Event()

    async def send_on(place: int) -> None:
        while not is_over.is_set():
            await send_input(confirmed[place], run_ids[place])
            confirmed[place] += 1

    with SentinelGroup(engine) as group, temporary_settings(url=group.url):
        sending = [asyncio.create_task(send_on(place)) for place in range(4)]
        while min(confirmed) < 100:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(group.fail_over_without_loss)
        before = list(confirmed)
        while any(now < then + 100 for now, then in zip(confirmed, before, strict=True)):
            await asyncio.sleep(0.01)
        is_over.set()
        await asyncio.gather(*sending)
        for run_id, count in zip(run_ids, confirmed, strict=True):
            inbox = receive_input(int, flow_run_id=run_id, timeout=0, raise_timeout_error=False)
            assert [number async for number in inbox] == list(range(count))


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://:s3cret@127.0.0.1:1",
        "redis+sentinel://:s3cret@127.0.0.1:1/name/words",
        "redis+sentinel://:s3cret@127.0.0.1:port/name",
        "redis+cluster://:s3cret@/0",
        "redis+cluster://:s3cret@127.0.0.1:1/3",
    ],
)
async def test_a_wrong_url_is_told_without_its_password(url: str) -> None:
    """What is wrong with the form is said, and not a word of the URL."""
    with temporary_settings(url=url), pytest.raises(SettingsError) as caught:
        current_bus()
    assert "s3cret" not in str(caught.value)


@pytest.fixture
def sentinel() -> Iterator[Sentinel]:
    """A sentinel that has not been told yet what to watch."""
    with Sentinel.start("valkey") as sentinel:
        yield sentinel


async def error_of_a_send(hosts: str, query: str = "", **settings: float) -> RunbusError:
    url = f"redis+sentinel://{hosts}/mine{query}"
    with temporary_settings(url=url, **settings), pytest.raises(RunbusError) as raised:
        async with asyncio.timeout(10):
            await send_input(1, uuid4())
    return raised.value


async def test_a_sentinel_is_no_server_of_data(sentinel: Sentinel) -> None:
    """A `redis://` URL of a sentinel is told at once, with the URL to write."""
    with (
        temporary_settings(url=sentinel.url),
        pytest.raises(SettingsError, match=r"redis\+sentinel://host:port/name"),
    ):
        await send_input(1, uuid4())


async def test_a_server_of_data_is_no_sentinel(valkey: Server) -> None:
    """It is told at once when none that answers is a sentinel."""
    error = await error_of_a_send(f"{NOBODY},127.0.0.1:{valkey.port}")
    assert isinstance(error, ServerRefused)
    assert "is it a sentinel?" in str(error)


@pytest.mark.parametrize("query", ["", "?sentinel_password=s3cret", "?sentinel_username=guest"])
async def test_sentinels_with_a_password(sentinel: Sentinel, query: str) -> None:
    """Who is not let in, or may not ask, is told at once where the sentinels' user stands."""
    with sentinel.client() as client:
        client.execute_command("ACL", "SETUSER", "guest", "on", "nopass", "+hello", "+client")
        client.execute_command("ACL", "SETUSER", "default", "resetpass", ">right")
    error = await error_of_a_send(f"127.0.0.1:{sentinel.port}", query)
    assert isinstance(error, ServerRefused)
    assert "sentinel_username, sentinel_password" in str(error)
    assert "s3cret" not in str(error)


async def test_a_sentinel_that_names_a_replica(
    sentinel: Sentinel, start_server: Callable[..., Server], valkey: Server
) -> None:
    """It was asleep during a failover, say, and stands first in the URL: the next one is asked."""
    with (
        start_server("valkey", "--replicaof", "127.0.0.1 1") as replica,
        Sentinel.start("valkey") as other,
        temporary_settings(url=group_url(sentinel, other), retry_seconds=5),
    ):
        for each, port in ((sentinel, replica.port), (other, valkey.port)):
            with each.client() as client:
                client.execute_command("SENTINEL", "MONITOR", "mine", "127.0.0.1", port, 1)
        await send_input(1, uuid4())


def group_url(*sentinels: Sentinel) -> str:
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in sentinels)
    return f"redis+sentinel://{hosts}/mine"


async def test_a_name_that_no_sentinel_knows(
    sentinel: Sentinel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told soon, and by its name."""
    monkeypatch.setattr(topology_of_sentinels, "UNKNOWN_SECONDS", 0.2)
    error = await error_of_a_send(f"127.0.0.1:{sentinel.port}")
    assert isinstance(error, SettingsError)
    assert "'mine'" in str(error)


async def test_a_name_that_the_sentinels_are_yet_to_be_told(
    sentinel: Sentinel, valkey: Server
) -> None:
    """A group that has only just started is waited for."""
    with (
        sentinel.client() as client,
        temporary_settings(url=f"redis+sentinel://127.0.0.1:{sentinel.port}/mine"),
    ):
        sent = asyncio.ensure_future(send_input(1, uuid4()))
        await asyncio.sleep(0.2)
        client.execute_command("SENTINEL", "MONITOR", "mine", "127.0.0.1", valkey.port, 1)
        await sent


async def test_one_that_cannot_be_reached_may_know_the_name(
    sentinel: Sentinel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a sentinel is away, nobody says that the name is wrong; the error has both causes."""
    monkeypatch.setattr(topology_of_sentinels, "UNKNOWN_SECONDS", 0.05)
    hosts = f"127.0.0.1:{sentinel.port},{NOBODY}"
    error = await error_of_a_send(hosts, retry_seconds=0.3)
    assert isinstance(error, ServerUnreachable)
    assert "do not know it" in str(error)
    assert NOBODY in str(error)


async def test_a_sentinel_that_does_not_answer_is_named(sentinel: Sentinel) -> None:
    """A frozen sentinel is the reason, and not an empty one."""
    sentinel.freeze()
    error = await error_of_a_send(
        f"127.0.0.1:{sentinel.port}", retry_seconds=0.1, connect_timeout_seconds=0.2
    )
    assert f"127.0.0.1:{sentinel.port} does not answer" in str(error)
