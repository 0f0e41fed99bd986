"""Followers: events and hints only wake; what hides one from them is told or made up for."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from owners import created, ended
from test_lost_entries import Pair, just_after, pair, wait_for_replica

from runbus import get_client, send_input, wait_for_flow_run
from runbus.errors import RunMissing
from runbus.store.bus import current_bus
from runbus.store.records import deployments, logs, runs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine

    from servers import Server

    from runbus.protocol.event import Event

__all__ = ["pair"]
client = get_client()
leaves_runs = pytest.mark.keys_without_lifetime
FOR_EVER = 600.0
"""A poll interval that no test lives to see."""


@pytest.fixture
def long_lease(server: Server, configure: Callable[..., None]) -> None:
    """Who waits looks at the record every third of a lease, too."""
    configure(lease_seconds=3 * FOR_EVER)


async def make(run_id: UUID | None = None, tag: str = "") -> UUID:
    """Make a run that some process executes."""
    run_id = run_id or UUID(uuid4().hex[:-2] + (tag or uuid4().hex[-2:]))
    await created(run_id, {"name": "n", "flow": "f"}, "me")
    return run_id


async def end(run_id: UUID) -> None:
    await ended(await read(run_id), "Completed")


async def read(run_id: UUID) -> Any:
    return await runs.read(current_bus(), run_id)


def elsewhere(work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Do something on another loop while this one, and all that waits on it, stands still."""
    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    thread.join()


def events_of(run_id: UUID) -> str:
    return f"runbus:{{{run_id.hex[-2:]}}}:events"


def bury(server: Server, run_id: UUID, count: int = 20_000) -> None:
    """Let more events of other runs pass than are kept."""
    with server.client() as redis, redis.pipeline(transaction=False) as pipe:
        fields = {"run": str(uuid4()), "state": "Running"}
        for _ in range(count):
            pipe.xadd(events_of(run_id), fields, maxlen=10_000, approximate=True)
        pipe.execute()
        assert all(
            str(run_id) not in entry.values() for _, entry in redis.xrange(events_of(run_id))
        )


async def settled() -> None:
    """Give what was just begun the time to be under way."""
    await asyncio.sleep(0.2)


@asynccontextmanager
async def following(events: AsyncGenerator[Event]) -> AsyncIterator[asyncio.Queue[Event]]:
    """Take events as they come, from now on."""
    found: asyncio.Queue[Event] = asyncio.Queue()

    async def take() -> None:
        async with aclosing(events):
            async for event in events:
                found.put_nowait(event)

    task = asyncio.create_task(take())
    await settled()
    yield found
    task.cancel()


# --- Who waits for a run ---------------------------------------------------------------------


@pytest.mark.usefixtures("long_lease")
@leaves_runs
async def test_an_end_whose_event_was_trimmed_is_heard_of(server: Server) -> None:
    """More events pass than are kept, while who waits stands still: the record tells the end."""
    run_id = await make()
    waiting = asyncio.create_task(wait_for_flow_run(run_id, 20, poll_interval=FOR_EVER))
    await settled()
    elsewhere(lambda: end(run_id))
    bury(server, run_id)
    assert (await asyncio.wait_for(waiting, 10)).state.is_completed()


@leaves_runs
async def test_an_end_whose_event_is_not_there_is_found(server: Server) -> None:
    """Somebody deletes the events, so none tells of it: the record is looked at now and then."""
    run_id = await make()
    waiting = asyncio.create_task(wait_for_flow_run(run_id, 20, poll_interval=0.3))
    await settled()
    elsewhere(lambda: end(run_id))
    with server.client() as redis:
        redis.delete(events_of(run_id))
    assert (await asyncio.wait_for(waiting, 10)).state.is_completed()


@pytest.mark.usefixtures("long_lease")
@leaves_runs
async def test_an_end_while_the_connection_is_lost_is_heard_of(server: Server) -> None:
    """It is read again on each new connection, whatever the stream has by then."""
    run_id = await make()
    waiting = asyncio.create_task(wait_for_flow_run(run_id, 20, poll_interval=FOR_EVER))
    await settled()
    elsewhere(lambda: end(run_id))
    with server.client() as redis:
        redis.delete(events_of(run_id))
        redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert (await asyncio.wait_for(waiting, 10)).state.is_completed()


async def test_who_waits_for_a_run_that_is_lost_is_told(server: Server) -> None:
    """Its record is gone, and nothing tells of it: an error, not a wait for ever."""
    run_id = await make()
    waiting = asyncio.create_task(wait_for_flow_run(run_id, None, poll_interval=0.3))
    await settled()
    with server.client() as redis:
        redis.flushall()
    with pytest.raises(RunMissing):
        await asyncio.wait_for(waiting, 10)


@leaves_runs
async def test_an_end_that_a_failover_took_back(pair: Pair) -> None:
    """Who has begun to wait before it hears of the end that comes after it, behind its place."""
    run_id, other = await make(tag="00"), uuid4()
    with pair.primary.client() as redis:
        kept = redis.xadd(events_of(run_id), {"run": str(other), "state": "Running"})
    await asyncio.to_thread(wait_for_replica, pair, events_of(run_id), kept)
    pair.lose_what_comes()
    waiting = asyncio.create_task(wait_for_flow_run(run_id, 30, poll_interval=FOR_EVER))
    async with following(client.follow_events()) as events:
        with pair.primary.client() as redis:
            redis.xadd(events_of(run_id), {"run": str(other), "state": "Paused"})
        assert (await events.get()).state == "Paused"
        await asyncio.to_thread(pair.fail_over)
        assert (await events.get()).kind == "resync", "the other run is not Paused any more"
        with pair.replica.client() as redis:
            # As of a primary whose clock is behind.
            redis.xadd(
                events_of(run_id), {"run": str(other), "state": "Failed"}, just_after(kept, 1)
            )
            while (found := await events.get()).kind == "resync":
                pass
            assert found.state == "Failed"
        await end(run_id)
    assert (await waiting).state.is_completed()


# --- Who follows all events --------------------------------------------------------------------


@leaves_runs
async def test_who_follows_all_events_is_told_of_a_gap(server: Server) -> None:
    """More come than are kept: `resync`, and then what comes next."""
    async with following(client.follow_events()) as events:
        run_id = await make()
        assert (await events.get()).flow_run_id == run_id
        bury(server, run_id)
        kinds = set[str]()
        while "resync" not in kinds:
            kinds.add((await asyncio.wait_for(events.get(), 10)).kind)
        await end(run_id)
        while (await asyncio.wait_for(events.get(), 10)).state != "Completed":
            pass


@leaves_runs
async def test_who_follows_all_events_is_told_of_a_new_connection(server: Server) -> None:
    """What came meanwhile may have been missed: `resync`; nothing of the kind before."""
    async with following(client.follow_events()) as events:
        run_id = await make()
        found = await events.get()
        assert (found.kind, found.flow_run_id) == ("state", run_id)
        with server.client() as redis:
            redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        found = await asyncio.wait_for(events.get(), 10)
        assert (found.kind, found.flow_run_id, found.state) == ("resync", None, "")


# --- Who follows a log or inputs ---------------------------------------------------------------


@leaves_runs
async def test_a_log_ends_with_its_run_whose_event_was_trimmed(server: Server) -> None:
    """It is followed to its last line, and then the follower ends."""
    run_id = await make()
    found: list[str] = []

    async def follow() -> None:
        async for line in client.follow_logs(run_id):
            found.append(line.message)  # noqa: PERF401  (as they come)

    following = asyncio.create_task(follow())
    await logs.append(current_bus(), run_id, [("INFO", "first")])
    while not found:
        await asyncio.sleep(0.01)

    async def last() -> None:
        await end(run_id)
        await logs.append(current_bus(), run_id, [("INFO", "last")])

    elsewhere(last)
    bury(server, run_id)
    await asyncio.wait_for(following, 5)  # sooner than it would look anyway
    assert found == ["first", "last"]


@leaves_runs
async def test_inputs_are_followed_through_an_outage(own_server: Server, configure: Any) -> None:
    """A server that is back within `retry_seconds` is no error."""
    configure(retry_seconds=20, reply_timeout_seconds=1)
    run_id = await make()
    await send_input(1, run_id)
    inputs = client.follow_inputs(run_id)
    assert (await anext(inputs)).value == b"1"
    following = asyncio.ensure_future(anext(inputs))
    await settled()
    own_server.kill()
    done, _ = await asyncio.wait([following], timeout=4)
    assert not done
    await asyncio.to_thread(own_server.restart)
    await send_input(2, run_id)
    assert (await asyncio.wait_for(following, 20)).value == b"2"
    await inputs.aclose()


async def test_who_follows_inputs_of_a_run_that_is_lost_is_told(server: Server) -> None:
    """Its record was there and is gone: an error, not a wait for ever."""
    run_id = await make()
    inputs = client.follow_inputs(run_id)
    following = asyncio.ensure_future(anext(inputs))
    await settled()
    with server.client() as redis:
        redis.flushall()
    with pytest.raises(RunMissing):
        await asyncio.wait_for(following, 10)


# --- Hints ---------------------------------------------------------------------------------------


@asynccontextmanager
async def hinted(*names: str) -> AsyncIterator[asyncio.Queue[tuple[str, str]]]:
    """Take hints of deployments as they come, from now on."""
    found: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def take() -> None:
        async with aclosing(deployments.hints(current_bus(), list(names), on_round=bool)) as hints:
            async for hint in hints:
                found.put_nowait((hint[0], hint[1].decode()))

    task = asyncio.create_task(take())
    await settled()
    yield found
    assert not task.done(), "it goes on whatever happens"
    task.cancel()


async def test_hints_go_on_after_a_long_outage(
    own_server: Server, configure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The server is away for longer than `retry_seconds`; one line says so, and they go on."""
    configure(retry_seconds=0.5)
    run_id = uuid4()
    async with hinted("f/x", "f/y") as hints:
        await deployments.hint(current_bus(), "f/x", run_id)
        assert await hints.get() == ("f/x", str(run_id))
        own_server.kill()
        while "found by sweeps" not in caplog.text:
            await asyncio.sleep(0.05)
        await asyncio.sleep(2)
        await asyncio.to_thread(own_server.restart)
        with own_server.client() as redis:
            redis.xadd("runbus:deployment:{f/y}:queue", {"run": "later"})
            redis.expire("runbus:deployment:{f/y}:queue", 60)
        assert await asyncio.wait_for(hints.get(), 10) == ("f/y", "later")
        await deployments.hint(current_bus(), "f/x", run_id)
        assert await asyncio.wait_for(hints.get(), 1) == ("f/x", str(run_id))
    assert caplog.text.count("found by sweeps") == 1


@leaves_runs
async def test_a_queue_that_cannot_be_read_holds_up_no_other(server: Server) -> None:
    """One deployment's queue is no stream: those of the others are followed; later it is, too."""
    with server.client() as redis:
        redis.set("runbus:deployment:{f/x}:queue", "no stream")
        async with hinted("f/x", "f/y") as hints:
            await deployments.hint(current_bus(), "f/y", uuid4())
            await asyncio.wait_for(hints.get(), 2)
            redis.delete("runbus:deployment:{f/x}:queue")
            await asyncio.sleep(1.5)
            run_id = uuid4()
            await deployments.hint(current_bus(), "f/x", run_id)
            assert await asyncio.wait_for(hints.get(), 5) == ("f/x", str(run_id))


async def test_a_hint_is_not_waited_for(own_server: Server) -> None:
    """The server is frozen, or gone: who hints goes on at once, and the hint arrives later."""
    async with hinted("f/x") as hints:
        own_server.freeze()
        run_ids = [uuid4(), uuid4()]
        async with asyncio.timeout(0.5):
            await deployments.hint(current_bus(), "f/x", run_ids[0])
        own_server.thaw()
        assert await asyncio.wait_for(hints.get(), 10) == ("f/x", str(run_ids[0]))
        own_server.kill()
        async with asyncio.timeout(0.5):
            await deployments.hint(current_bus(), "f/x", run_ids[1])
        await asyncio.to_thread(own_server.restart)
        assert await asyncio.wait_for(hints.get(), 10) == ("f/x", str(run_ids[1]))


async def test_a_hint_is_written_before_its_loop_ends(server: Server) -> None:
    """A script that only starts a run ends at once: its hint is there."""

    async def start() -> None:
        # As who starts a run does: it is connected.
        await deployments.read_served(current_bus(), "f/x")
        await deployments.hint(current_bus(), "f/x", uuid4())

    elsewhere(start)
    with server.client() as redis:
        assert redis.xlen("runbus:deployment:{f/x}:queue") == 1
