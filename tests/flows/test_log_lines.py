"""The lines of a run are on its log stream before its end is recorded."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from runbus import flow, get_run_context, get_run_logger
from runbus.protocol.keys import Keys
from runbus.store.records import logs

if TYPE_CHECKING:
    from uuid import UUID

    import pytest
    from servers import Server


async def test_lines_that_are_under_way_when_the_flow_returns(
    valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end waits for a batch that somebody has taken and that has not arrived yet."""
    under_way = threading.Event()
    append = logs.append

    async def append_slowly(*arguments: Any) -> None:
        under_way.set()
        await asyncio.sleep(0.3)
        await append(*arguments)

    monkeypatch.setattr(logs, "append", append_slowly)
    ids: list[UUID] = []

    @flow
    async def talk() -> None:
        ids.append(get_run_context().run_id)
        get_run_logger().warning("the last word")
        while not under_way.is_set():
            await asyncio.sleep(0.01)

    await talk()
    with valkey.client() as client:
        entries = client.xrange(Keys("runbus").log(ids[0]))
    assert [fields["message"] for _, fields in entries] == ["the last word"]
