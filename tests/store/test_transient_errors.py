"""A server that answers that it cannot yet: it is asked again, and not for ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from runbus import receive_input, send_input
from runbus.errors import ServerUnreachable
from runbus.settings import temporary_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers import Server


@pytest.fixture
def without_slots(start_server: Callable[..., Server]) -> Iterator[Server]:
    """A server of a cluster that is not whole."""
    with start_server("valkey", "--cluster-enabled", "yes") as server:
        yield server


VERBS: dict[str, Callable[[], Any]] = {
    "send": lambda: send_input(1, uuid4()),
    "receive": lambda: receive_input(int, flow_run_id=uuid4(), timeout=None).next(),
    "receive for a while": lambda: receive_input(int, flow_run_id=uuid4(), timeout=0.5).next(),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
async def test_a_cluster_that_is_not_whole(without_slots: Server, scheme: str, verb: str) -> None:
    """Who sends and who waits hears the server's own words after `retry_seconds`."""
    url = f"{scheme}://127.0.0.1:{without_slots.port}"
    with temporary_settings(url=url, retry_seconds=1):
        async with asyncio.timeout(10):
            with pytest.raises(ServerUnreachable, match=r"has said for .* CLUSTERDOWN") as told:
                await VERBS[verb]()
    assert not told.value.maybe_stored


async def test_a_receiver_hears_what_comes_once_the_server_can(valkey: Server) -> None:
    """It waits in silence until then: `retry_seconds` count anew each time."""
    run_id = uuid4()
    with valkey.client() as client:
        client.config_set("replica-serve-stale-data", "no")
        client.replicaof("127.0.0.1", "1")
        waiting = asyncio.ensure_future(anext(receive_input(int, flow_run_id=run_id, timeout=20)))
        await asyncio.sleep(1)
        client.replicaof("NO", "ONE")
        client.config_set("replica-serve-stale-data", "yes")
    await send_input(7, run_id)
    assert await waiting == 7


async def test_a_cluster_that_was_never_reached_has_stored_nothing() -> None:
    """No connection was ever made, so the error does not say that the input may be stored."""
    with (
        temporary_settings(url="redis+cluster://127.0.0.1:9", retry_seconds=0.5),
        pytest.raises(ServerUnreachable, match="Does it run there") as told,
    ):
        await send_input(1, uuid4())
    assert not told.value.maybe_stored


async def test_a_replica_is_told(start_server: Callable[..., Server]) -> None:
    """It answers, so nobody is asked whether it runs, but where the URL must lead."""
    with (
        start_server("valkey", "--replicaof", "127.0.0.1 1") as server,
        temporary_settings(url=server.url, retry_seconds=0.5),
        pytest.raises(ServerUnreachable, match="must lead to its primary"),
    ):
        await send_input(1, uuid4())
