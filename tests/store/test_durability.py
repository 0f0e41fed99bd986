"""Durability: a receipt says what is known, and never more."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from proxy import Proxy

from runbus import Replicated, flow, get_client, pause_flow_run, receive_input, send_input
from runbus.errors import DurabilityTimeout, InvalidArgument, NotDurable
from runbus.settings import temporary_settings
from runbus.store.bus import current_bus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers import Server

EVERY_SECOND = ("--appendonly", "yes", "--appendfsync", "everysec")
SHORT = {"durability_timeout_seconds": 0.7}


@contextmanager
def used(server: Server, **settings: float) -> Iterator[Server]:
    """Let runbus talk to a server, which ends with the test."""
    with server, temporary_settings(url=server.url, **settings):
        yield server


@contextmanager
def replicated(start_server: Callable[..., Server]) -> Iterator[tuple[Server, Server]]:
    """A primary and its replica."""
    with (
        start_server("valkey", "--repl-diskless-sync-delay", "0") as primary,
        start_server("valkey", "--replicaof", f"127.0.0.1 {primary.port}") as replica,
        temporary_settings(url=primary.url),
        primary.client() as client,
    ):
        while client.info("replication")["connected_slaves"] != 1:
            time.sleep(0.02)
        while client.info("replication")["slave0"]["state"] != "online":
            time.sleep(0.02)
        yield primary, replica


async def test_in_memory_by_default(server: Server) -> None:
    """Then nothing more is asked or known."""
    assert (await send_input(1, uuid4())).durability == "memory"


@pytest.mark.parametrize(
    ("engine", "policy"), [("valkey", "everysec"), ("valkey", "always"), ("redis", "always")]
)
async def test_on_the_disk(start_server: Callable[..., Server], engine: str, policy: str) -> None:
    """Where the server's append-only file is written to the disk, and not only some day."""
    run_id = uuid4()
    with used(start_server(engine, "--appendonly", "yes", "--appendfsync", policy)):
        sends = [send_input(number, run_id, durability="fsync") for number in range(50)]
        assert {(await each).durability for each in sends} == {"fsync"}
        again = [await send_input(7, run_id, key="seven", durability="fsync") for _ in range(2)]
        assert [(each.duplicate, each.durability) for each in again] == [
            (False, "fsync"),
            (True, "fsync"),
        ]
        assert [each async for each in receive_input(
            int, flow_run_id=run_id, timeout=0, raise_timeout_error=False
        )] == [*range(50), 7]  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "options", "reason"),
    [
        ("valkey", ("--appendonly", "no"), "appendonly is disabled"),
        ("redis", ("--appendfsync", "everysec"), "not set to appendfsync always"),
        (
            "redis",
            ("--appendfsync", "always", "--appendonly", "no"),
            "not set to appendfsync always",
        ),
    ],
)
async def test_a_server_that_cannot_promise_the_disk(
    start_server: Callable[..., Server], engine: str, options: tuple[str, ...], reason: str
) -> None:
    """The error says why, and that the input is stored; it is never taken for less in silence."""
    run_id = uuid4()
    with used(start_server(engine, *options)):
        with pytest.raises(NotDurable, match=reason) as told:
            await send_input(1, run_id, key="k", durability="fsync")
        assert "may be sent again under the same key" in str(told.value)
        assert [each.key for each in await get_client().read_inputs(run_id)] == ["k"]


async def test_a_disk_that_is_never_written(start_server: Callable[..., Server]) -> None:
    """The server is asked about the disk, so one that leaves it to the system is waited for."""
    options = ("--appendonly", "yes", "--appendfsync", "no")
    with (
        used(start_server("valkey", *options), **SHORT),
        pytest.raises(DurabilityTimeout, match="appendfsync"),
    ):
        await send_input(1, uuid4(), durability="fsync")


async def test_on_replicas(start_server: Callable[..., Server]) -> None:
    """The receipt tells on how many; a retry under the same key is safe after a timeout."""
    run_id = uuid4()
    with replicated(start_server) as (primary, replica):
        assert (await send_input(1, run_id, durability=Replicated(1))).durability == Replicated(1)
        with replica.client() as client:
            assert len(client.keys("*:input:int")) == 1
        replica.freeze()
        with temporary_settings(url=primary.url, **SHORT):
            late = send_input(2, run_id, key="two", durability=Replicated(1))
            await send_input(3, run_id)  # others are not held up
            assert not late.settled
            with pytest.raises(
                DurabilityTimeout, match=r"not within 0\.7 s \(0 of 1 replicas have it\)"
            ):
                await late
        replica.thaw()
        again = await send_input(2, run_id, key="two", durability=Replicated(1))
        assert (again.duplicate, again.durability) == (True, Replicated(1))
        with (
            temporary_settings(url=primary.url, **SHORT),
            pytest.raises(DurabilityTimeout, match="1 of 2 replicas have it"),
        ):
            await send_input(4, run_id, durability=Replicated(2))


def test_in_a_thread(start_server: Callable[..., Server]) -> None:
    """The call returns once it is as durable as asked."""
    with used(start_server("valkey", *EVERY_SECOND)):
        assert send_input(1, uuid4(), durability="fsync").durability == "fsync"


async def test_an_answer(start_server: Callable[..., Server]) -> None:
    """The flow goes on at once, and who answers hears when the answer is durable."""

    @flow
    async def ask() -> int:
        return await pause_flow_run(int)

    client = get_client()
    with used(start_server("valkey", *EVERY_SECOND)) as server:
        asked = asyncio.create_task(ask())
        while not (waiting := await client.read_waiting()):
            await asyncio.sleep(0.01)
        await client.resume_flow_run(waiting[0].run.id, {"value": 7}, durability="fsync")
        assert await asked == 7
        with server.client() as admin:
            admin.config_set("appendonly", "no")
        asked = asyncio.create_task(ask())
        while not (waiting := await client.read_waiting()):
            await asyncio.sleep(0.01)
        with pytest.raises(NotDurable, match="the answer to pause '1'"):
            await client.resume_flow_run(waiting[0].run.id, {"value": 8}, durability="fsync")
        assert await asked == 8


async def test_the_server_is_lost_meanwhile(start_server: Callable[..., Server]) -> None:
    """What was stored and is gone with a restart is not called durable."""
    with used(start_server("valkey", *EVERY_SECOND)) as server:
        await send_input(1, uuid4(), durability="fsync")
        sent = send_input(2, uuid4(), key="two", durability="fsync")
        while not current_bus().outbox.durability.pending():
            await asyncio.sleep(0)
        with server.client() as admin:
            admin.flushall()
            admin.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(NotDurable, match="it is not there any more"):
            await sent


async def test_another_server_behind_the_same_name(start_server: Callable[..., Server]) -> None:
    """The old primary still answers, as a replica: the wait goes where the sends go."""
    with (
        start_server("valkey", *EVERY_SECOND) as old,
        start_server("valkey", *EVERY_SECOND) as new,
        Proxy("127.0.0.1", old.port) as proxy,
        temporary_settings(url=proxy.url, durability_timeout_seconds=4),
        old.client() as client,
    ):
        await send_input(1, uuid4(), durability="fsync")
        proxy.redirect("127.0.0.1", new.port)
        client.replicaof("127.0.0.1", new.port)
        assert (await send_input(2, uuid4(), durability="fsync")).durability == "fsync"


def test_nothing_else_is_a_durability() -> None:
    """A slip is told at the call."""
    with pytest.raises(InvalidArgument, match="'memory', 'fsync' or Replicated"):
        send_input(1, uuid4(), durability="disk")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidArgument, match="1 or more"):
        Replicated(0)
