"""One primary of a cluster is away, for longer than a lease: the others' runs notice nothing.

No replica takes over here. Hints, events and lists go on with what answers; what the one that was
away has is there again once it is back.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from clusters import Cluster, until
from owners import created, ended

from runbus import get_client, resume_flow_run, run_deployment, wait_for_flow_run
from runbus.protocol.ids import flow_run_id_for
from runbus.settings import temporary_settings
from runbus.store import bus, deployments, gauges, runs, workers
from runbus.store.run_end import wait_for_end

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

client = get_client()
LEASE_SECONDS = 1.0
AWAY_FOR_SECONDS = 2.5
SOON = 3.0
"""How long what concerns another primary may take at most: far less than `retry_seconds`."""


@pytest.fixture(scope="module", params=["valkey", "redis"])
def shared_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster that goes on without a part, and whose replicas never take over."""
    options = ("--cluster-require-full-coverage", "no", "--cluster-replica-no-failover", "yes")
    with Cluster(request.param, *options) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, empty, as what runbus talks to."""
    for number in range(3):
        shared_cluster.call(number, "FLUSHALL")
    with temporary_settings(url=shared_cluster.url, lease_seconds=LEASE_SECONDS):
        yield shared_cluster


@pytest.fixture(params=["freeze", "kill"])
def how(request: pytest.FixtureRequest) -> str:
    """In which way the primary is away."""
    return request.param


@asynccontextmanager
async def away(cluster: Cluster, number: int, how: str) -> AsyncIterator[None]:
    """Without one primary. It is away for longer than a lease in all, and back afterwards."""
    node, started = cluster.nodes[number], time.monotonic()
    getattr(node, how)()
    try:
        yield
        await asyncio.sleep(max(0, started + AWAY_FOR_SECONDS - time.monotonic()))
    finally:
        await asyncio.to_thread(node.thaw if how == "freeze" else node.restart)
        await asyncio.to_thread(until, lambda: _is_whole(cluster), "the cluster is whole again")


def _is_whole(cluster: Cluster) -> bool:
    return all("cluster_state:ok" in cluster.info(number) for number in range(6))


def owner(cluster: Cluster, key: str) -> int:
    """The number of the primary that has a key."""
    return cluster.owner_of(cluster.call(0, "CLUSTER", "KEYSLOT", key))


def names_on_each(cluster: Cluster) -> list[str]:
    """A deployment for each primary, which has its queue."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < 3:
        number += 1
        name = f"f/{number}"
        found.setdefault(owner(cluster, f"{{{name}}}"), name)
    return [found[number] for number in range(3)]


def id_on(cluster: Cluster, number: int) -> UUID:
    """A run id whose keys a primary has."""
    while owner(cluster, f"{{{(run_id := uuid4()).hex[-2:]}}}") != number:
        pass
    return run_id


async def make(run_id: UUID, state: str = "", **fields: str) -> None:
    here = bus.current()
    fields = {"name": "n", "flow": "f", **fields}
    run = await created(run_id, fields, None if "deployment" in fields else "me")
    if state:
        await runs.move(here, run, state, after=["Scheduled"])


@contextmanager
def taking(items: AsyncGenerator[Any]) -> Iterator[asyncio.Queue[Any]]:
    """Take what comes, as it comes."""
    found: asyncio.Queue[Any] = asyncio.Queue()

    async def take() -> None:
        async with aclosing(items):
            async for item in items:
                found.put_nowait(item)

    task = asyncio.create_task(take())
    try:
        yield found
        assert not task.done(), "it goes on"
    finally:
        task.cancel()


async def soon(found: asyncio.Queue[Any], seconds: float = SOON) -> Any:
    return await asyncio.wait_for(found.get(), seconds)


@pytest.mark.parametrize("is_away_before", [False, True])
async def test_hints_go_on(cluster: Cluster, how: str, *, is_away_before: bool) -> None:
    """Those of healthy queues arrive meanwhile, the others afterwards, whoever began when."""
    here, names, lost = bus.current(), names_on_each(cluster), 1
    others = [name for number, name in enumerate(names) if number != lost]
    await deployments.hint(here, names[lost], uuid4())  # everything is connected
    if is_away_before:
        async with away(cluster, lost, how):
            with taking(deployments.hints(here, names, on_round=bool)) as hints:
                await _hint_until_heard(others[0], hints)
                assert await _hinted(others[1], hints)
        return
    with taking(deployments.hints(here, names, on_round=bool)) as hints:
        await _hint_until_heard(names[lost], hints)
        async with away(cluster, lost, how):
            begun = time.monotonic()
            late = await _hint(names[lost])
            assert time.monotonic() - begun < 0.5, "nobody waits for a hint"
            for name in others * 3:
                assert await _hinted(name, hints)
        assert await soon(hints, 15) == late


async def _hint(name: str) -> tuple[str, bytes]:
    run_id = uuid4()
    await deployments.hint(bus.current(), name, run_id)
    return name, str(run_id).encode()


async def _hinted(name: str, hints: asyncio.Queue[tuple[str, bytes]]) -> bool:
    return await _hint(name) == await soon(hints, 1)


async def _hint_until_heard(name: str, hints: asyncio.Queue[tuple[str, bytes]]) -> None:
    # It begins with what comes after it has looked where the queue ends.
    async with asyncio.timeout(SOON):
        while hints.empty():
            await _hint(name)
            await asyncio.sleep(0.1)
    await asyncio.sleep(0.2)
    while not hints.empty():
        hints.get_nowait()


@pytest.mark.parametrize("is_away_before", [False, True])
async def test_events_go_on(cluster: Cluster, how: str, *, is_away_before: bool) -> None:
    """Those of healthy tags come meanwhile, and then `resync` and those of the others."""
    lost, healthy = id_on(cluster, 1), [id_on(cluster, 0), id_on(cluster, 2)]
    await asyncio.gather(*map(make, [id_on(cluster, number) for number in range(3)]))
    if is_away_before:
        async with away(cluster, 1, how):
            with taking(client.follow_events()) as events:
                await asyncio.sleep(0.5)
                for run_id in healthy:
                    await make(run_id)
                    assert (await soon(events)).flow_run_id == run_id
        return
    with taking(client.follow_events()) as events:
        await asyncio.sleep(0.5)
        async with away(cluster, 1, how):
            making = asyncio.create_task(make(lost))
            for run_id in healthy:
                waiting = asyncio.create_task(wait_for_flow_run(run_id, 10, poll_interval=600))
                await make(run_id)
                assert (await soon(events)).flow_run_id == run_id
                await ended(await client.read_flow_run(run_id), "Completed")
                assert (await soon(events)).state == "Completed"
                assert (await asyncio.wait_for(waiting, SOON)).state.is_completed()
        await making
        found = [await soon(events, 15)]
        while found[-1].flow_run_id != lost:
            found.append(await soon(events, 15))
        kinds = {each.kind for each in found}
        assert kinds == ({"state", "resync"} if how == "kill" else kinds)


async def test_lists_are_made_of_what_answers(
    cluster: Cluster, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Runs, those that wait, counts, deployments, workers, metrics: soon, and whole afterwards."""
    here, names = bus.current(), names_on_each(cluster)
    indexes = {owner(cluster, key) for key in (here.keys.workers(), here.keys.deployments())}
    lost = next(number for number in range(3) if number not in indexes)
    made = [id_on(cluster, number) for number in range(3)]
    for run_id, name in zip(made, names, strict=True):
        await make(run_id, deployment=name)
        await deployments.register(here, name, {"flow": "f"})
        await workers.register(here, f"host-{run_id}", {"pid": 1, "deployments": f'["{name}"]'})
    everything = await _lists()
    assert everything == [set(made), set(made), set(names), dict.fromkeys(names, 1)]
    assert await client.servers_away() == []
    address = f"127.0.0.1:{cluster.nodes[lost].port}"
    async with away(cluster, lost, how):
        async with asyncio.timeout(2 * SOON):
            found = await _lists()
            again = await _lists()
        assert found == again
        healthy = set(made) - {made[lost]}, set(names) - {names[lost]}
        assert found == [healthy[0], healthy[0], healthy[1], dict.fromkeys(healthy[1], 1)]
        assert len(await client.read_workers()) < 3
        assert await client.count_waiting() == 0
        assert await client.servers_away() == [address]
    assert caplog.text.count("lists are without what it has") == 1
    async with asyncio.timeout(15):
        while await _lists() != everything:
            await asyncio.sleep(0.1)
    assert await client.servers_away() == []


async def _lists() -> list[Any]:
    return [
        {run.id for run in await client.read_flow_runs()},
        {run.id for run in await client.read_flow_runs(state="Scheduled", flow_name="f")},
        {each.name for each in await client.read_deployments()},
        (await gauges.read(bus.current(), [])).queue_lengths,
    ]


async def test_a_run_starts_while_its_queue_is_away(cluster: Cluster, how: str) -> None:
    """`run_deployment` and an answer go through on a healthy slot, and are hinted at later."""
    here, name = bus.current(), names_on_each(cluster)[1]
    await deployments.register(here, name, {"flow": "f"})
    await run_deployment(name, timeout=0)
    number = 0
    while owner(cluster, f"{{{flow_run_id_for(f'deployment {name}', str(number)).hex[-2:]}}}") == 1:
        number += 1
    suspended = id_on(cluster, 0)
    await make(suspended, "Suspended", deployment=name)
    async with away(cluster, 1, how):
        async with asyncio.timeout(SOON):
            run = await run_deployment(name, timeout=0, idempotency_key=str(number))
            await resume_flow_run(suspended)
        assert run.state.name == "Scheduled"
        assert (await client.read_flow_run(suspended)).state.name == "Scheduled"
    async with asyncio.timeout(15):
        while {str(run.id), str(suspended)} - set(_hinted_at(cluster, name)):
            await asyncio.sleep(0.1)


def _hinted_at(cluster: Cluster, name: str) -> list[str]:
    queue = cluster.call(1, "XRANGE", f"runbus:deployment:{{{name}}}:queue", "-", "+")
    return [fields["run"] if isinstance(fields, dict) else fields[1] for _, fields in queue]


async def test_the_end_of_a_run_is_heard_of_whatever_else_is_away(
    cluster: Cluster, how: str
) -> None:
    """Its own primary is all that it needs."""
    run_id = id_on(cluster, 2)
    await make(run_id)
    async with away(cluster, 0, how):
        waiting = asyncio.create_task(wait_for_end(bus.current(), run_id, 600))
        run = await runs.read(bus.current(), run_id)
        assert await runs.move(bus.current(), run, "Failed") is None
        assert (await asyncio.wait_for(waiting, SOON)).state.name == "Failed"
