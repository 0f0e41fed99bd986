"""Foreign entries and members on a real server: those who read go on past them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fuzz import foreign
from runbus import flow, get_client, pause_flow_run, receive_input, resume_flow_run, send_input
from runbus.context import get_run_context
from runbus.errors import MalformedEntry, NotPaused, RunMissing
from runbus.protocol.keys import TAGS
from runbus.protocol.wire import WIRE
from runbus.store.bus import current_bus
from runbus.store.maintenance import deadlines, recovery
from runbus.store.maintenance.index_repair import TAGS_AT_ONCE, IndexRepair
from runbus.store.records import runs

if TYPE_CHECKING:
    from servers import Server

pytestmark = pytest.mark.keys_without_lifetime
few = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
GARBAGE = (b"", b"\xff", b"nobody", b"a b c", str(UUID(int=5)).encode() + b" ", b"1" * 50)


def key_of(run_id: UUID, part: str) -> str:
    return f"runbus:{{{run_id.hex[-2:]}}}:{run_id}:{part}"


def add(server: Server, key: str, entries: list[list[bytes]]) -> None:
    with server.client() as client:
        for fields in entries:
            client.execute_command("XADD", key, "*", *fields)


@few
@given(entries=st.lists(foreign.entry_fields(), max_size=6))
async def test_a_receiver_goes_on_past_foreign_entries(
    valkey: Server, entries: list[list[bytes]]
) -> None:
    """Each is received, or raises its documented error once; what comes after is received."""
    run_id = uuid4()
    add(valkey, key_of(run_id, "input:str"), entries)
    await send_input("the last", run_id)
    inbox = receive_input(str, flow_run_id=run_id, timeout=5)
    outcomes: list[Any] = []
    while "the last" not in outcomes:
        try:
            outcomes.append(await anext(inbox))
        except (ValidationError, MalformedEntry) as error:
            outcomes.append(error)
    assert len(outcomes) == len(entries) + 1
    found = await get_client().read_inputs(run_id, "str")
    assert len(found) == len(entries) + 1


@few
@given(
    answers=st.lists(foreign.entry_fields(), max_size=4),
    words=st.lists(foreign.entry_fields().filter(lambda f: b"cancel" not in f), max_size=4),
)
async def test_a_pause_goes_on_past_foreign_entries(
    valkey: Server, answers: list[list[bytes]], words: list[list[bytes]]
) -> None:
    """On the resume stream they answer where they fit; on the control stream they say nothing."""
    begun = asyncio.Event()
    run_id: UUID | None = None

    @flow
    async def ask() -> int:
        nonlocal run_id
        run_id = get_run_context().run_id
        begun.set()
        return await pause_flow_run(int, timeout=20)

    asking = asyncio.ensure_future(ask())
    await begun.wait()
    assert run_id is not None
    add(valkey, key_of(run_id, "control"), words)
    add(valkey, key_of(run_id, "resume"), answers)
    while not asking.done():
        try:
            await resume_flow_run(run_id, {"value": 7})
        except (NotPaused, RunMissing):
            await asyncio.sleep(0.01)
        else:
            break
    assert isinstance(await asking, int)


@few
@given(hash_=foreign.hashes(foreign.RUN_FIELDS).filter(bool))
async def test_lists_go_on_past_foreign_runs(valkey: Server, hash_: dict[bytes, bytes]) -> None:
    """A hash that nobody of ours wrote is a run or none, and those beside it are listed."""

    @flow
    async def nothing() -> UUID:
        return get_run_context().run_id

    ours, foreigner = await nothing(), uuid4()
    with valkey.client() as client:
        client.hset(key_of(foreigner, "run"), mapping=hash_)
        tag = f"runbus:{{{foreigner.hex[-2:]}}}"
        for index in ("runs", "active", "pending", "scheduled:f/x", "executing", "ended"):
            member = f"x {foreigner} 1-0" if index == "executing" else str(foreigner)
            client.zadd(f"{tag}:{index}", {member: 1})
    client = get_client()
    assert ours in [run.id for run in await client.read_flow_runs(limit=5)]
    assert ours in [run.id for run in await client.read_flow_runs(state="Completed", limit=5)]
    assert isinstance(await client.read_waiting(), list)
    await client.read_history(foreigner)
    with valkey.client() as client:
        client.flushall()


async def test_indexes_with_garbage(valkey: Server) -> None:
    """Members that are no run ids do not keep a worker from its duties."""
    with valkey.client() as client:
        client.set("runbus:wire", WIRE)
        for index in ("runs", "active", "pending", "scheduled:f/x", "executing"):
            for score, member in enumerate(GARBAGE):
                client.zadd(f"runbus:{{0a}}:{index}", {member: score})
        for name in ("workers", "deployments"):
            client.sadd(f"runbus:{name}", b"\xff", b"x")
    bus = current_bus()
    assert await runs.scheduled(bus, ["f/x"], 20) == []
    assert await recovery.recover_orphaned_runs(bus) == 0
    await deadlines.expire_overdue(bus)
    repair = IndexRepair(bus)
    for _ in range(len(TAGS) // TAGS_AT_ONCE):
        await repair.step()
    client = get_client()
    assert await client.read_flow_runs() == []
    assert await client.read_waiting() == []
    assert await client.read_workers() == []
    assert await client.read_deployments() == []
    await client.server_report()
