"""The wire's number: who speaks another one is refused, and told what to do."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from runbus import (
    flow,
    get_client,
    get_run_context,
    pause_flow_run,
    receive_input,
    send_input,
)
from runbus.errors import WireMismatch
from runbus.protocol.keys import Keys
from runbus.protocol.wire import WIRE
from runbus.settings import temporary_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from servers import Server

NEWER = str(WIRE + 1)


@pytest.fixture
def keys(server: Server) -> Iterator[Keys]:
    """Keys under a prefix that no process has asked for before."""
    prefix = f"at-{uuid4().hex}"
    with temporary_settings(url=server.url, prefix=prefix, lease_seconds=1, retry_seconds=1):
        yield Keys(prefix)
    with server.client() as client:
        client.flushall()


@pytest.fixture
def client(server: Server) -> Iterator[Redis]:
    with closing(server.client()) as client:
        yield client


def in_a_new_loop(run_id: UUID) -> list[str]:
    """Send and receive on connections that are made for it."""

    async def talk() -> list[str]:
        await send_input("hello", run_id)
        inbox = receive_input(str, flow_run_id=run_id, timeout=0, raise_timeout_error=False)
        return [each async for each in inbox]

    return asyncio.run(talk())


def test_a_new_server_is_given_the_number(keys: Keys, client: Redis) -> None:
    """By whoever comes first; it never expires."""
    assert in_a_new_loop(uuid4()) == ["hello"]
    assert (client.get(keys.wire()), client.ttl(keys.wire())) == (str(WIRE), -1)


@pytest.mark.parametrize("number", [NEWER, "1", "0", "many"])
def test_another_number_is_refused(keys: Keys, client: Redis, number: str) -> None:
    """At once, whatever is asked, with both numbers and what to do; nothing is stored."""
    client.set(keys.wire(), number)
    with pytest.raises(WireMismatch, match=f"wire {number}; this one speaks {WIRE}"):
        in_a_new_loop(uuid4())
    advice = "install a newer runbus" if number == NEWER else "let its runs end with the version"
    with pytest.raises(WireMismatch, match=advice):
        asyncio.run(get_client().read_flow_runs())
    assert client.keys(f"{keys.prefix}:*") == [keys.wire()]


def test_what_the_first_version_has_left_is_refused(keys: Keys, client: Redis) -> None:
    """It stored no number: its indexes tell."""
    client.zadd(keys.runs("07"), {str(uuid4()): 1})
    with pytest.raises(WireMismatch, match="wire 1; this one speaks"):
        in_a_new_loop(uuid4())
    assert client.get(keys.wire()) is None


def test_a_server_that_was_emptied_meanwhile(keys: Keys, client: Redis) -> None:
    """What a living process has stored there since is its own, number or not."""
    assert in_a_new_loop(uuid4()) == ["hello"]
    client.delete(*client.keys(f"{keys.prefix}:*"))
    client.zadd(keys.runs("07"), {str(uuid4()): 1})
    assert in_a_new_loop(uuid4()) == ["hello"]
    assert client.get(keys.wire()) == str(WIRE)


def test_a_number_that_is_raised_meanwhile(keys: Keys, client: Redis) -> None:
    """Who executes runs learns of it within a lease, and writes nothing until it is its own."""
    run_ids: list[UUID] = []

    @flow
    def ask() -> None:
        run_ids.append(get_run_context().run_id)
        client.set(keys.wire(), NEWER)
        pause_flow_run(timeout=20)

    begun = time.monotonic()
    with pytest.raises(WireMismatch):
        ask()
    assert time.monotonic() - begun < 10
    record = keys.run(run_ids[0])
    assert client.hget(record, "state_name") == "Paused"
    client.set(keys.wire(), str(WIRE))
    while client.hget(record, "state_name") != "Failed":  # its end was kept
        time.sleep(0.02)
