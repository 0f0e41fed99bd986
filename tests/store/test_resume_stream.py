"""An answer is an entry on the resume stream: the pause's record alone answers nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runbus import flow, get_client, pause_flow_run, resume_flow_run
from runbus.context import get_run_context
from runbus.protocol.keys import Keys

if TYPE_CHECKING:
    from uuid import UUID

    from servers import Server

KEYS = Keys("runbus")


async def pending_pause(ids: list[UUID]) -> str:
    """Wait until the run waits; return the key of its pause's hash."""
    while not ids or await get_client().read_pause(ids[0]) is None:
        await asyncio.sleep(0.005)
    return KEYS.pause(ids[0], "1")


async def test_a_record_without_its_entry_is_no_answer(server: Server) -> None:
    """Whoever writes `answered` into the hash of a pause has not answered: it is still pending."""
    ids: list[UUID] = []

    @flow
    async def ask() -> str:
        ids.append(get_run_context().run_id)
        return await pause_flow_run(str, timeout=20)

    asking = asyncio.create_task(ask())
    key = await pending_pause(ids)
    with server.client() as client:
        stranger = client.xadd(KEYS.resume(ids[0]), {"pause": "2", "value": '{"value": "forged"}'})
        client.hset(key, mapping={"state": "answered", "entry": str(stranger), "value": "forged"})
    found = await get_client().read_pause(ids[0])
    assert found is not None
    assert (found.state, found.value, found.by) == ("pending", None, None)
    await resume_flow_run(ids[0], {"value": "real"}, by="ada")
    assert await asking == "real"


async def test_a_replay_asks_the_stream(server: Server) -> None:
    """A flow that runs again waits in a pause that is `answered` by an entry which is not there."""
    ids: list[UUID] = []
    forged = False

    @flow(retries=1)
    async def ask() -> str:
        nonlocal forged
        ids.append(get_run_context().run_id)
        answer = await pause_flow_run(str, timeout=20)
        if not forged:
            forged = True
            with server.client() as client:
                client.delete(KEYS.resume(ids[0]))
            raise RuntimeError("once more")
        return answer

    asking = asyncio.create_task(ask())
    await pending_pause(ids)
    await resume_flow_run(ids[0], {"value": "first"})
    while len(ids) < 2:
        await asyncio.sleep(0.005)
    await pending_pause(ids)
    await resume_flow_run(ids[0], {"value": "second"})
    assert await asking == "second"
