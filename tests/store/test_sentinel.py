"""A sentinel group: senders and waiters follow the primary."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from clusters import SentinelGroup, until

from runbus import receive_input, send_input
from runbus.errors import SettingsError
from runbus.settings import temporary_settings
from runbus.store import bus

if TYPE_CHECKING:
    from servers import Engine


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
        bus.current()
    assert "s3cret" not in str(caught.value)
