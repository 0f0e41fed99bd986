"""One primary of a cluster is away, for longer than a lease: the others' runs notice nothing.

No replica takes over here. Hints, events and lists go on with what answers; what the one that was
away has is there again once it is back.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen
from uuid import UUID, uuid4

import pytest
from clusters import Cluster, until
from owners import created, end_lease, ended
from proxy import Proxy

from runbus import (
    cancel_flow_run,
    flow,
    get_client,
    resume_flow_run,
    run_deployment,
    serve,
    wait_for_flow_run,
)
from runbus.background import lease_holder
from runbus.errors import DeploymentMissing
from runbus.protocol.ids import flow_run_id_for
from runbus.protocol.keys import tag, tag_of_name
from runbus.settings import temporary_settings
from runbus.store.admin import doctor, gauges
from runbus.store.bus import current_bus
from runbus.store.maintenance import owners, recovery
from runbus.store.maintenance.run_end import wait_for_end
from runbus.store.records import child_runs, deployments, executions, runs, workers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

    from runbus.protocol.records import FlowRun

client = get_client()
LEASE_SECONDS = 1.0
AWAY_FOR_SECONDS = 2.5
SOON = 8.0
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
    """A deployment for each primary, which has its record, its queue and the list that names it."""
    return [deployment_on(cluster, number, number) for number in range(3)]


def deployment_on(cluster: Cluster, record: int, listed: int) -> str:
    """A deployment's name: one primary has its record and queue, one the list that names it."""
    wanted, names = (record, listed), (f"f/{number}" for number in count())
    return next(each for each in names if places_of(cluster, each) == wanted)


def places_of(cluster: Cluster, name: str) -> tuple[int, int]:
    listed = current_bus().keys.deployments(tag_of_name(name))
    return owner(cluster, f"{{{name}}}"), owner(cluster, listed)


def id_on(cluster: Cluster, number: int) -> UUID:
    """A run id whose keys a primary has."""
    while owner(cluster, f"{{{(run_id := uuid4()).hex[-2:]}}}") != number:
        pass
    return run_id


async def make(run_id: UUID, state: str = "", **fields: str) -> None:
    bus = current_bus()
    fields = {"name": "n", "flow": "f", **fields}
    run = await created(run_id, fields, None if "deployment" in fields else "me")
    if state:
        await runs.move(bus, run, state, after=["Scheduled"])


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
    bus, names, lost = current_bus(), names_on_each(cluster), 1
    others = [name for number, name in enumerate(names) if number != lost]
    await deployments.hint(bus, names[lost], uuid4())  # everything is connected
    if is_away_before:
        async with away(cluster, lost, how):
            with taking(deployments.hints(bus, names, on_round=bool)) as hints:
                await _hint_until_heard(others[0], hints)
                assert await _hinted(others[1], hints)
        return
    with taking(deployments.hints(bus, names, on_round=bool)) as hints:
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
    await deployments.hint(current_bus(), name, run_id)
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


@pytest.mark.parametrize("lost", range(3))
async def test_lists_are_made_of_what_answers(
    cluster: Cluster, how: str, caplog: pytest.LogCaptureFixture, lost: int
) -> None:
    """Runs, those that wait, counts, deployments, workers, metrics: soon, and whole afterwards."""
    bus, names = current_bus(), names_on_each(cluster)
    made = [id_on(cluster, number) for number in range(3)]
    for run_id, name in zip(made, names, strict=True):
        await make(run_id, deployment=name)
        await deployments.register(bus, name, {"flow": "f"})
        await register_worker(run_id, name)
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
        for number in {0, 1, 2} - {lost}:
            await register_worker(made[number], names[number])
        assert len(await client.read_workers()) == 2
        assert [await workers.is_served(bus, name) for name in sorted(healthy[1])] == [True, True]
        assert await workers.is_served(bus, names[lost]) is None
        fresh = await asyncio.to_thread(lambda: asyncio.run(_soon_after_the_first_question()))
        assert fresh == found
        assert await client.count_waiting() == 0
        assert await client.servers_away() == [address]
    told = caplog.text.count(f"{address} does not answer: lists are without what it has")
    assert told == 2, "once for each loop"
    async with asyncio.timeout(15):
        while await _lists() != everything:
            await asyncio.sleep(0.1)
    assert await client.servers_away() == []


async def _lists() -> list[Any]:
    return [
        {run.id for run in await client.read_flow_runs()},
        {run.id for run in await client.read_flow_runs(state="Scheduled", flow_name="f")},
        {each.name for each in await client.read_deployments()},
        (await gauges.read(current_bus(), [])).queue_lengths,
    ]


@pytest.mark.parametrize("lost", range(3))
async def test_the_doctor_judges_what_answers(cluster: Cluster, how: str, lost: int) -> None:
    """Which runs wait for a worker, and whose owners are dead, of the others; and who is away."""
    names = names_on_each(cluster)
    for number, name in enumerate(names):
        await make(id_on(cluster, number), deployment=name)
        await deployments.register(current_bus(), name, {"flow": "f"})
    address = f"127.0.0.1:{cluster.nodes[lost].port}"
    async with away(cluster, lost, how):
        found = (await doctor.examine(current_bus())).checks
    judged = {each.name: each.found for each in found}
    assert judged["queue"].startswith("2 runs wait for a worker")
    assert any(address in each.found for each in found if each.name == "server" and not each.ok)


async def register_worker(run_id: UUID, deployment: str) -> None:
    """A worker whose record lies where the run does."""
    fields = {"pid": 1, "deployments": f'["{deployment}"]'}
    await workers.register(current_bus(), f"host-{run_id}", fields)


async def _soon_after_the_first_question() -> list[Any]:
    # On a loop that nobody has told where the slots are.
    async with asyncio.timeout(2 * SOON):
        return await _lists()


async def test_lists_are_made_although_the_map_is_found_late(cluster: Cluster, how: str) -> None:
    """The first server of the URL is away, and the second one says slowly where the slots are."""
    made = [id_on(cluster, number) for number in range(3)]
    for run_id in made:
        await make(run_id)
    with Proxy("127.0.0.1", cluster.nodes[1].port) as proxy:
        proxy.delay(0.3)
        servers = ",".join(f"127.0.0.1:{port}" for port in (cluster.nodes[0].port, proxy.port))
        async with away(cluster, 0, how):
            with temporary_settings(url=f"redis+cluster://{servers}"):
                async with asyncio.timeout(2 * SOON):
                    found = await client.read_flow_runs()
        assert {run.id for run in found} == set(made[1:])


async def test_a_run_starts_while_its_queue_is_away(cluster: Cluster, how: str) -> None:
    """`run_deployment` and an answer go through on a healthy slot, and are hinted at later."""
    bus, name = current_bus(), names_on_each(cluster)[1]
    await deployments.register(bus, name, {"flow": "f"})
    await run_deployment(name, timeout=0)
    key = _key_of_a_run_on(cluster, 2, name)
    suspended = id_on(cluster, 0)
    await make(suspended, "Suspended", deployment=name)
    async with away(cluster, 1, how):
        async with asyncio.timeout(SOON):
            run = await run_deployment(name, timeout=0, idempotency_key=key)
            await resume_flow_run(suspended)
        assert run.state.name == "Scheduled"
        assert (await client.read_flow_run(suspended)).state.name == "Scheduled"
    async with asyncio.timeout(15):
        while {str(run.id), str(suspended)} - set(_hinted_at(cluster, name)):
            await asyncio.sleep(0.1)


def _hinted_at(cluster: Cluster, name: str) -> list[str]:
    queue = cluster.call(1, "XRANGE", f"runbus:deployment:{{{name}}}:queue", "-", "+")
    return [fields["run"] if isinstance(fields, dict) else fields[1] for _, fields in queue]


async def test_a_run_starts_of_a_deployment_that_cannot_be_read(cluster: Cluster, how: str) -> None:
    """Its flow's name stands in its own; only a record that is known to be missing is missed."""
    unseen, missing = deployment_on(cluster, 1, 0), deployment_on(cluster, 0, 1)
    key = _key_of_a_run_on(cluster, 2, unseen)

    async def start() -> FlowRun:
        async with asyncio.timeout(SOON):
            return await run_deployment(unseen, timeout=0, idempotency_key=key)

    async with away(cluster, 1, how):
        for run in await start(), await asyncio.to_thread(lambda: asyncio.run(start())):
            assert (run.state.name, run.flow_name, run.deployment_id) == ("Scheduled", "f", unseen)
        with pytest.raises(DeploymentMissing):
            await run_deployment(missing, timeout=0)
    with pytest.raises(DeploymentMissing):
        await run_deployment(unseen, timeout=0)


def _key_of_a_run_on(cluster: Cluster, number: int, deployment: str) -> str:
    """An idempotency key with which a deployment's run lies on a primary."""
    return next(key for key in map(str, count()) if _place_of(cluster, deployment, key) == number)


def _place_of(cluster: Cluster, deployment: str, key: str) -> int:
    run_id = flow_run_id_for(f"deployment {deployment}", key)
    return owner(cluster, f"{{{run_id.hex[-2:]}}}")


@pytest.mark.parametrize("what", ["worker", "deployment", "list of deployments"])
async def test_a_worker_starts_while_a_record_cannot_be_made(
    cluster: Cluster,
    how: str,
    what: str,
    configure: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It executes what it can, says once what is not registered, and registers it later."""
    configure(metrics_port=(port := free_port()))
    lost = owner(cluster, current_bus().keys.worker(lease_holder.current().owner.process))
    healthy = (lost + 1) % 3
    places = [lost if what == each else healthy for each in ("deployment", "list of deployments")]
    names = [deployment_on(cluster, healthy, healthy), deployment_on(cluster, *places)]
    key = _key_of_a_run_on(cluster, healthy, names[0])
    duty = "worker's record" if what == "worker" else "deployments' records"
    async with away(cluster, lost, how):
        worker = asyncio.create_task(serve_all(set(names)))
        async with asyncio.timeout(4 * SOON):
            await execute_one(names[0], key)
            while not (told := failures_of(duty, caplog)):
                await asyncio.sleep(0.05)
            said = await asyncio.to_thread(readiness, port)
        assert re.search(rf"^{duty}: .*failed \d+ times?, at last: no answer", said, re.MULTILINE)
        await asyncio.sleep(2)  # in which it is tried again
        assert failures_of(duty, caplog) == told
        assert len(told) == 1
    assert what == "worker" or f"not registered yet: {names[1]}." in told[0]
    async with asyncio.timeout(15):
        while not await is_registered(set(names)):
            await asyncio.sleep(0.05)
    assert not worker.done()
    worker.cancel()
    await asyncio.wait([worker])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


async def serve_all(names: set[str], limit: int | None = None) -> None:
    @flow
    async def f() -> int:
        return 7

    served = (f.to_deployment(name.removeprefix("f/")) for name in sorted(names))
    await serve(*served, limit=limit)


async def execute_one(name: str, key: str) -> None:
    """Start a run of a deployment, as soon as it is served, and wait for its result."""
    while True:
        try:
            run = await run_deployment(name, timeout=SOON, idempotency_key=key)
        except DeploymentMissing:
            await asyncio.sleep(0.05)
        else:
            assert run.state.result() == 7
            return


def failures_of(duty: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each for each in caplog.messages if each.startswith(f"{duty} failed")]


def readiness(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as response:
        return response.read().decode()


async def is_registered(names: set[str]) -> bool:
    listed = {each.name: each.workers for each in await client.read_deployments()}
    return listed == dict.fromkeys(names, 1) and len(await client.read_workers()) == 1


async def test_the_end_of_a_run_is_heard_of_whatever_else_is_away(
    cluster: Cluster, how: str
) -> None:
    """Its own primary is all that it needs."""
    run_id = id_on(cluster, 2)
    await make(run_id)
    async with away(cluster, 0, how):
        waiting = asyncio.create_task(wait_for_end(current_bus(), run_id, 600))
        run = await runs.read(current_bus(), run_id)
        assert await runs.move(current_bus(), run, "Failed") is None
        assert (await asyncio.wait_for(waiting, SOON)).state.name == "Failed"


@cache
def place_of(cluster: Cluster, tag: str) -> int:
    """The number of the primary that has a tag's keys: here it never changes."""
    return owner(cluster, f"{{{tag}}}")


def id_of_parent(cluster: Cluster, *places: int) -> UUID:
    """A run id on the first of these primaries, whose calls' runs lie on the others."""
    while True:
        run_id = uuid4()
        family = [run_id, *(child_of(run_id, ordinal) for ordinal in range(1, len(places)))]
        if all(place_of(cluster, tag(each)) == at for each, at in zip(family, places, strict=True)):
            return run_id


def child_of(run_id: UUID, ordinal: int) -> UUID:
    return next(child_runs.ids_of_call(run_id, ordinal))


async def state_of(run_id: UUID) -> str:
    return (await client.read_flow_run(run_id)).state.name


async def reached(state: str, *run_ids: UUID) -> None:
    """Wait until these runs are in a state."""
    async with asyncio.timeout(15):
        while {await state_of(each) for each in run_ids} != {state}:
            await asyncio.sleep(0.05)


async def test_a_run_is_cancelled_while_what_it_started_is_away(cluster: Cluster, how: str) -> None:
    """It ends soon, with all that can be reached, and the others when their primary is back."""
    parent = id_of_parent(cluster, 0, 1, 2, 1, 2)
    called, deployed = [child_of(parent, n) for n in (1, 2)], [child_of(parent, n) for n in (3, 4)]
    inner = [child_of(each, 1) for each in called]
    await make(parent, "Suspended", deployment="f/x")
    for child in called:
        await make(child, parent=str(parent))
        await make(child_of(child, 1), parent=str(child), deployment="f/x")
    for child in deployed:
        await make(child, parent=str(parent), deployment="f/x")
    reachable = [parent, called[1], deployed[1]]
    reachable += [inner[1]] if place_of(cluster, tag(inner[1])) != 1 else []
    async with away(cluster, 1, how):
        async with asyncio.timeout(SOON / 2):
            await cancel_flow_run(parent)
        assert {await state_of(each) for each in reachable} == {"Cancelled"}
    await reached("Cancelled", *called, *deployed, *inner)


async def test_a_run_ends_while_what_it_called_is_away(
    cluster: Cluster, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who called it has its error soon; what it left unfinished ends with it, if later."""
    run_id = id_of_parent(cluster, 0, 2, 1, 2)
    left = [child_of(run_id, 2), child_of(run_id, 3)]
    monkeypatch.setattr("runbus.execution.run.uuid4", lambda: run_id)

    @flow
    async def child() -> None:
        pass

    @flow
    async def parent() -> None:
        await child()
        raise ValueError

    for each in left:
        await make(each, parent=str(run_id))
    async with away(cluster, 1, how):
        with pytest.raises(ValueError, match=r"^$"):
            await asyncio.wait_for(parent(), SOON / 2)
        assert (await state_of(run_id), await state_of(left[1])) == ("Failed", "Cancelled")
    await reached("Cancelled", left[0])


async def test_what_the_dead_have_called_ends_although_something_is_away(
    cluster: Cluster, how: str
) -> None:
    """What can be reached ends with the run that was called first; a list ends the others later."""
    run_id = id_of_parent(cluster, 0, 1, 2, 1, 2)
    called = [child_of(run_id, ordinal) for ordinal in range(1, 5)]
    await make(run_id)
    for each in called:
        await make(each, parent=str(run_id))
        epoch = (await client.read_flow_run(each)).epoch
        state = await executions.release(current_bus(), each, None, epoch, "me")
        assert state == "Pending"
    await end_lease(run_id, "me")
    async with away(cluster, 1, how):
        await recovery.recover_orphaned_runs(current_bus())
        states = [await state_of(each) for each in (run_id, called[1], called[3])]
        assert states == ["Crashed"] * 3
    await owners.check(current_bus(), [await client.read_flow_run(called[0])])
    await reached("Crashed", *called)


async def test_runs_that_are_away_take_no_slot_of_others(cluster: Cluster, how: str) -> None:
    """As many of them are offered as a worker has slots, and more; each other begins at once."""
    name = deployment_on(cluster, 0, 0)
    lost = [id_on(cluster, 1) for _ in range(10)]
    for run_id in lost:
        await make(run_id, deployment=name)
    keys = iter([key for key in map(str, range(64)) if _place_of(cluster, name, key) != 1])
    seconds: list[float] = []
    async with away(cluster, 1, how):
        worker = asyncio.create_task(serve_all({name}, limit=2))
        async with asyncio.timeout(4 * SOON):
            await execute_one(name, next(keys))
            await deployments.hint(current_bus(), name, *lost)
            await asyncio.sleep(0.2)
            for _ in range(20):
                began = time.monotonic()
                await execute_one(name, next(keys))
                seconds.append(time.monotonic() - began)
                await asyncio.sleep(0.1)
        assert max(seconds) < 0.8
    await reached("Completed", *lost)
    worker.cancel()
    await asyncio.wait([worker])


@pytest.mark.parametrize("seconds", [1, 4])
async def test_a_claim_that_is_answered_late_waits_for_a_slot(
    cluster: Cluster, seconds: float
) -> None:
    """Not beyond the limit, and not for long: then others may have the run, and this worker too."""
    name, lost, executing = deployment_on(cluster, 0, 0), id_on(cluster, 1), [0]

    @flow
    async def f(seconds: float = 0) -> None:
        executing.append(executing[-1] + 1)
        await asyncio.sleep(seconds)
        executing.append(executing[-1] - 1)

    keys = iter([key for key in map(str, range(64)) if _place_of(cluster, name, key) != 1])
    await make(lost, deployment=name)
    cluster.nodes[1].freeze()
    try:
        worker = asyncio.create_task(serve(f.to_deployment(name.removeprefix("f/")), limit=1))
        while True:
            with suppress(DeploymentMissing):
                await run_deployment(name, idempotency_key=next(keys))
                break
            await asyncio.sleep(0.05)
        await deployments.hint(current_bus(), name, lost)
        await asyncio.sleep(0.1)  # in which its claim begins
        other = await run_deployment(name, {"seconds": seconds}, 0, idempotency_key=next(keys))
        await reached("Running", other.id)
    finally:
        cluster.nodes[1].thaw()
    await reached("Completed", other.id, lost)
    assert max(executing) == 1
    states = [each.state for each in await client.read_history(lost)]
    assert states == [
        "Scheduled",
        "Running",
        *(["Scheduled", "Running"] * (seconds > 2)),
        "Completed",
    ]
    worker.cancel()
    await asyncio.wait([worker])
