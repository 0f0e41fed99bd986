"""The client: what is seen of runs, deployments and workers from outside."""

from __future__ import annotations

import asyncio
import socket
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from faults import result_of, started, until
from owners import created, ended

from runbus import (
    flow,
    get_client,
    get_run_context,
    get_run_logger,
    pause_flow_run,
    receive_input,
    resume_flow_run,
    send_input,
)
from runbus.background.bridge import run as block
from runbus.errors import AmbiguousRun, DeploymentMissing, InvalidArgument, RunMissing
from runbus.protocol.keys import TAGS
from runbus.store.bus import current_bus
from runbus.store.records import pause_opening, runs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from faults import StartWorker
    from servers import Server

    from runbus.protocol.records import FlowRun

client = get_client()
leaves_runs = pytest.mark.keys_without_lifetime


async def make(count: int = 1, state: str = "", **fields: str) -> list[UUID]:
    """Make runs of a flow, in this state."""
    bus, run_ids = current_bus(), [uuid4() for _ in range(count)]
    for run_id in run_ids:
        run = await created(run_id, {"name": "n", "flow": "f", **fields}, "me")
        if state:
            await runs.move(bus, run, state, epoch=run.epoch)
    return run_ids


def ids(found: list[FlowRun]) -> list[UUID]:
    return [run.id for run in found]


@leaves_runs
async def test_the_newest_runs_come_first(server: Server) -> None:
    """All pages together are all runs, each once, in the order of their creation."""
    made = []
    for _ in range(60):
        made += await make()
        await asyncio.sleep(0.002)  # so that no two were created in the same millisecond
    paged = [
        run_id
        for offset in range(0, 70, 7)
        for run_id in ids(await client.read_flow_runs(limit=7, offset=offset))
    ]
    assert paged == made[::-1]
    created = [(await client.read_flow_run(made[place])).created for place in (20, 39)]
    span = {"created_after": created[0], "created_before": created[1]}
    assert ids(await client.read_flow_runs(**span)) == made[39:19:-1]
    assert ids(await client.read_flow_runs(**span, flow_name="f", limit=3)) == made[39:36:-1]


@leaves_runs
async def test_a_page_of_one_tag_alone(valkey: Server) -> None:
    """Where all runs of a page have one tag, it is asked again and again."""
    made = [UUID(int=number << 8) for number in range(1, 700)]
    for run_id in made:
        await created(run_id, {"name": "n", "flow": "f"}, "me")
    assert set(ids(await client.read_flow_runs(limit=1000))) == set(made)
    assert len(await client.read_flow_runs(limit=30, offset=690)) == 9
    rare = made[3]
    await ended(await client.read_flow_run(rare), "Failed")
    # The script looks at 500 runs, and then others have their turn.
    assert ids(await client.read_flow_runs(state="Failed")) == [rare]


@leaves_runs
@pytest.mark.parametrize("others", [4, 90])
async def test_the_newest_of_a_state(valkey: Server, others: int) -> None:
    """All its pages, whether most of those that have not ended are in it or few."""
    await make(others)
    wanted = []
    for _ in range(20):
        wanted += await make(state="Cancelling")
        await asyncio.sleep(0.002)  # so that no two were created in the same millisecond
    await make(others)
    await make(3, "Completed")
    pages = [
        ids(await client.read_flow_runs(state=["Cancelling", "Paused"], limit=6, offset=offset))
        for offset in range(0, 30, 6)
    ]
    assert [run_id for page in pages for run_id in page] == wanted[::-1]
    # The server is asked the same when it has forgotten the script.
    with valkey.client() as control:
        control.script_flush()
    assert ids(await client.read_flow_runs(state="Cancelling", flow_name="f")) == wanted[::-1]


@leaves_runs
async def test_runs_are_chosen(server: Server) -> None:
    """By state, flow, deployment, parent and text, and by several of them."""
    (parent,) = await make(flow="greeter", name="Brave Otter")
    (child,) = await make(flow="greeter", parent=str(parent), name="calm-fox")
    failed = await make(3, "Failed", flow="shop")
    (served,) = await make(state="Completed", flow="shop", deployment="shop/x")
    listed = client.read_flow_runs

    assert set(ids(await listed(state="Running"))) == {parent, child}
    assert set(ids(await listed(state=["failed", "Crashed"]))) == set(failed)
    assert ids(await listed(state="Running", parent_run_id=parent)) == [child]
    assert set(ids(await listed(flow_name="shop"))) == {served, *failed}
    assert ids(await listed(deployment_id="shop/x")) == [served]
    assert ids(await listed(text="OTTER")) == [parent]
    assert set(ids(await listed(text="shop", limit=1000))) == {served, *failed}
    assert ids(await listed(text=str(child)[:10].upper())) == [child]
    assert ids(await listed(text=child.hex[:20])) == [child]
    assert await listed(text="nothing like it") == []
    with pytest.raises(InvalidArgument, match="the states are Scheduled"):
        await listed(state="Runing")
    with pytest.raises(InvalidArgument, match="1 to 1000"):
        await listed(limit=0)


@leaves_runs
async def test_a_run_is_found(server: Server) -> None:
    """By its id, by how that begins, and by a name that it alone has."""
    (one,) = await make(name="brave-otter")
    two = await make(2, name="calm-fox")
    for text in (str(one), one.hex, str(one)[:12], one.hex[:12], "brave-otter"):
        assert (await client.find_flow_run(text)).id == one
    with pytest.raises(AmbiguousRun, match=str(two[0])) as ambiguous:
        await client.find_flow_run("calm-fox")
    assert set(ambiguous.value.candidates) == set(two)
    for text in ("brave", str(uuid4()), "zz"):
        with pytest.raises(RunMissing, match=text):
            await client.find_flow_run(text)


async def test_who_waits_is_listed_with_what_is_asked(server: Server) -> None:
    """The earliest deadline first; without one, last."""

    @flow
    async def ask(timeout: float | None) -> int:
        return await pause_flow_run(int, timeout=timeout)

    tasks = [asyncio.create_task(ask(timeout)) for timeout in (None, 500, 50, 5000)]
    while await client.count_waiting() < 4:
        await asyncio.sleep(0.01)
    found = await client.read_waiting()
    assert [each.run.parameters["timeout"] for each in found] == [50, 500, 5000, None]
    assert all(each.pause and each.pause.schema and each.run.pause == "1" for each in found)
    assert [each.run.id for each in await client.read_waiting(limit=2, offset=1)] == [
        each.run.id for each in found[1:3]
    ]
    for each in found:
        await resume_flow_run(each.run.id, {"value": 1}, by="ada")
    await asyncio.gather(*tasks)
    assert await client.count_waiting() == 0
    (pause,) = await client.read_pauses(found[0].run.id)
    assert (pause.state, pause.by, pause.value) == ("answered", "ada", b'{"value":1}')


@leaves_runs
async def test_who_waits_for_ever_is_listed_in_pages(valkey: Server) -> None:
    """All deadlines are equal, so the ids tell; a page reads its share of them and not all."""
    bus = current_bus()
    made = [UUID(int=number * 2**64 + number % 2) for number in range(1, 101)]
    for run_id in made:
        epoch = (await created(run_id, {"name": "n", "flow": "f"}, "me")).epoch
        form = pause_opening.Form()
        await pause_opening.open_pause(bus, run_id, "1", form, timeout=None, retry=0, epoch=epoch)
    paged = [
        each.run.id
        for offset in range(0, 110, 7)
        for each in await client.read_waiting(limit=7, offset=offset)
    ]
    assert paged == made
    with valkey.client() as control:
        before = control.info("commandstats")["cmdstat_zrange"]["calls"]
        await client.read_waiting(limit=7)
        asked = control.info("commandstats")["cmdstat_zrange"]["calls"] - before
    assert asked == len(TAGS) + 2  # the two tags that have all of them are asked once more


async def test_a_run_keeps_its_history(server: Server) -> None:
    """Each state and when it came."""
    (run_id,) = await make(state="Completed")
    history = await client.read_history(run_id)
    assert [each.state for each in history] == ["Running", "Completed"]
    assert history[0].time <= history[1].time
    assert await client.read_history(uuid4()) == []


async def test_log_lines_are_read_and_followed(server: Server) -> None:
    """From the first on, as they come, until the run has ended."""

    @flow
    async def work() -> None:
        get_run_logger().warning("begun")
        await pause_flow_run()
        get_run_logger().warning("done")

    task = asyncio.create_task(work())
    while not (waiting := await client.read_waiting()):
        await asyncio.sleep(0.01)
    run_id = waiting[0].run.id
    lines = client.follow_logs(run_id)
    first = await anext(lines)
    assert (first.level, first.message) == ("WARNING", "begun")
    await resume_flow_run(run_id)
    assert [line.message async for line in lines] == ["done"]
    await task
    assert [line.message async for line in client.follow_logs(run_id)] == ["begun", "done"]
    assert [line.message for line in await client.read_logs(run_id, after=first.id)] == ["done"]
    with pytest.raises(RunMissing):
        await anext(client.follow_logs(uuid4()))
    with pytest.raises(InvalidArgument, match="after"):
        await client.read_logs(run_id, after="yesterday")


@leaves_runs
async def test_inputs_are_read_without_receiving_them(server: Server) -> None:
    """On one stream and on all, with their keys and senders; a receiver gets them still."""
    (run_id,) = await make()
    await send_input("tea", run_id, sender="ada", key="one")
    await asyncio.sleep(0.002)  # two streams may have an entry of the same millisecond
    await send_input(7, run_id, key="two")
    await asyncio.sleep(0.002)
    await send_input("cake", run_id, key="three")
    found = await client.read_inputs(run_id)
    assert [(each.stream, each.key, each.value) for each in found] == [
        ("str", "one", b'"tea"'),
        ("int", "two", b"7"),
        ("str", "three", b'"cake"'),
    ]
    assert (found[0].sender, found[1].sender) == ("ada", None)
    later = await client.read_inputs(run_id, "str", after=found[0].id)
    assert [each.key for each in later] == ["three"]
    newest = await client.read_inputs(run_id, limit=2, newest_first=True)
    assert [each.key for each in newest] == ["three", "two"]

    inbox = receive_input(str, flow_run_id=run_id, timeout=0, raise_timeout_error=False)
    received = [each async for each in inbox]
    assert received == ["tea", "cake"]

    async def unread() -> list[tuple[str, int, int]]:
        return [(i.name, i.length, i.unread) for i in await client.read_streams(run_id)]

    while await unread() != [("int", 1, 1), ("str", 2, 0)]:
        await asyncio.sleep(0.05)
    assert await client.read_streams(uuid4()) == []


async def test_inputs_are_followed(server: Server) -> None:
    """Also on a stream that comes later, until the run has ended."""
    (run_id,) = await make()
    await send_input(1, run_id)
    inputs = client.follow_inputs(run_id)
    assert (await anext(inputs)).value == b"1"
    await send_input("new", run_id)
    await send_input(2, run_id)
    assert {(await anext(inputs)).value, (await anext(inputs)).value} == {b"2", b'"new"'}
    await ended(await client.read_flow_run(run_id), "Completed")
    assert [each async for each in inputs] == []
    assert [each.value async for each in client.follow_inputs(run_id, "int")] == [b"1", b"2"]


@leaves_runs
async def test_events_of_all_runs_are_followed(server: Server) -> None:
    """Whatever tag a run has, from now on, with the state that it came into."""
    await make()
    async with aclosing(client.follow_events()) as events:
        seen = asyncio.create_task(_take(events, 20))
        while not current_bus().topology.nodes():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # "now" begins with the first step of the iteration
        made = await make(10, "Completed")
        found = await asyncio.wait_for(seen, 10)
    assert {(each.flow_run_id, each.state) for each in found} == {
        (run_id, state) for run_id in made for state in ("Running", "Completed")
    }
    assert found[-1].time - found[0].time < timedelta(seconds=10)


async def _take(iterator: AsyncIterator[Any], count: int) -> list[Any]:
    return [await anext(iterator) for _ in range(count)]


def test_what_is_served_is_listed(start_worker: StartWorker) -> None:
    """Deployments with the schema of their parameters, and the workers that serve them."""
    worker = start_worker("double", "shop")
    assert result_of(started("double/x", {"number": 1})) == 2
    found = block(client.read_deployments)
    assert [each.name for each in found] == ["double/x", "shop/x"]
    (double, shop) = found
    assert (double.flow_name, double.workers) == ("double", 1)
    assert double.parameters["properties"]["number"]["type"] == "integer"
    assert double.parameters["required"] == ["number"]
    assert block(lambda: client.read_deployment("shop/x")) == shop
    (listed,) = block(client.read_workers)
    assert (listed.pid, listed.host) == (worker.pid, socket.gethostname())
    assert listed.deployments == ("double/x", "shop/x")
    assert listed.executing == 0
    worker.terminate()
    worker.wait(10)
    assert block(client.read_workers) == []
    assert block(lambda: client.read_deployment("shop/x")).workers == 0


def test_a_worker_that_was_killed_is_forgotten(start_worker: StartWorker) -> None:
    """Its record ends with its leases."""
    worker = start_worker("double")
    until(lambda: block(client.read_workers))
    worker.kill()
    until(lambda: not block(client.read_workers))


def test_a_run_is_started_by_the_client(start_worker: StartWorker) -> None:
    """It is scheduled at once, and nobody's child."""
    start_worker("double")
    assert result_of(started("double/x", {"number": 1})) == 2

    @flow
    async def start() -> FlowRun:
        assert get_run_context()
        return await client.create_flow_run_from_deployment(
            "double/x", {"number": 4}, flow_run_name="four", tags=["a"]
        )

    made = asyncio.run(start())
    assert (made.name, made.parent_run_id, made.tags) == ("four", None, ("a",))
    ended = block(lambda: client.wait_for_flow_run(made.id, 20))
    assert ended.state.result() == 8
    with pytest.raises(DeploymentMissing):
        block(lambda: client.create_flow_run_from_deployment("no/such"))
