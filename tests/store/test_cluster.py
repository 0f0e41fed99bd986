"""A cluster of six nodes: everything works over it, and goes on while primaries change.

Runs on real clusters of both engines; slots are moved and primaries killed while in use.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from clusters import Cluster, until
from monitor import Asked, Monitor
from owners import created
from server_errors import assert_all_are_told

from runbus import (
    flow,
    get_client,
    pause_flow_run,
    receive_input,
    resume_flow_run,
    run_deployment,
    send_input,
    wait_for_flow_run,
)
from runbus.errors import NotPaused, ReceiveTimeout, ServerRefused, SettingsError
from runbus.protocol.keys import TAGS
from runbus.settings import temporary_settings
from runbus.store.bus import current_bus
from runbus.store.connection import scripts
from runbus.store.records import deployments
from runbus.variables import Variable
from runbus.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers import Server


@pytest.fixture(scope="module", params=["valkey", "redis"])
def shared_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster that the tests of this file share; they leave it whole."""
    with Cluster(request.param) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, as what runbus talks to."""
    with temporary_settings(url=shared_cluster.url):
        yield shared_cluster


async def listen(run_id: UUID, count: int) -> list[int]:
    """The next inputs of a run, waited for."""
    inbox = receive_input(int, flow_run_id=run_id, timeout=40)
    return [await anext(inbox) for _ in range(count)]


def on_every_node(cluster: Cluster) -> list[UUID]:
    """A run id for each of three primaries."""
    found: dict[int, UUID] = {}
    while len(found) < 3:
        run_id = uuid4()
        found.setdefault(cluster.owner_of(cluster.slot_of(run_id)), run_id)
    return list(found.values())


async def test_everybody_hears(cluster: Cluster) -> None:
    """A hundred runs all over the cluster wait, and each gets its own inputs in order."""
    run_ids = [uuid4() for _ in range(100)]
    listening = [asyncio.create_task(listen(run_id, 5)) for run_id in run_ids]
    await asyncio.sleep(0)
    for number in range(5):
        await asyncio.gather(*(settled(send_input(number, run_id)) for run_id in run_ids))
    assert await asyncio.gather(*listening) == [list(range(5))] * 100
    connections = current_bus().connections()
    assert len(connections) <= 3 * 3
    flow_name = f"heard-{run_ids[0]}"
    for run_id in run_ids[:20]:
        await created(run_id, {"name": "n", "flow": flow_name}, "me")
    found = await get_client().read_flow_runs(flow_name=flow_name, state="Running")
    assert {each.id for each in found} == set(run_ids[:20])


async def settled(sent: Any) -> None:
    await sent


async def test_the_url_of_one_node_is_told(cluster: Cluster) -> None:
    """Whoever sends, asks or waits is told what to write instead, and nothing is tried again."""
    with temporary_settings(url=f"redis://127.0.0.1:{cluster.nodes[0].port}", retry_seconds=3600):
        await assert_all_are_told(SettingsError, "redis\\+cluster://")


async def test_a_cluster_that_is_none_is_told(valkey: Server) -> None:
    """A server by itself, named as a cluster, says so."""
    with temporary_settings(url=f"redis+cluster://127.0.0.1:{valkey.port}", retry_seconds=3600):
        await assert_all_are_told(ServerRefused, "cluster support disabled")


async def test_a_cluster_that_is_none_and_slow_is_told(own_server: Server) -> None:
    """Nothing is sent to it before it has told where the slots are, however long that takes."""
    own_server.freeze()
    with temporary_settings(url=f"redis+cluster://127.0.0.1:{own_server.port}"):
        sending = asyncio.create_task(assert_is_refused(uuid4()))
        await asyncio.sleep(1.3)  # longer than the map is waited for
        own_server.thaw()
        await sending
    with own_server.client() as client:
        assert not client.keys("*input*")


async def assert_is_refused(run_id: UUID) -> None:
    with pytest.raises(ServerRefused, match="cluster support disabled"):
        await send_input(1, run_id)


async def test_a_send_costs_one_call_on_one_primary(cluster: Cluster) -> None:
    """Nothing is shared between the tags: a send is one call where its tag is, and none elsewhere.

    So a send costs the same with any number of primaries.
    """
    run_ids = on_every_node(cluster)
    for run_id in run_ids:
        await send_input(0, run_id)
    for number in range(6):
        cluster.call(number, "CONFIG", "RESETSTAT")
    for count, run_id in enumerate(run_ids, start=10):
        for number in range(count):
            await send_input(number, run_id)
    for count, run_id in enumerate(run_ids, start=10):
        owner = cluster.owner_of(cluster.slot_of(run_id))
        calls = cluster.clients[owner].info("commandstats")
        assert calls["cmdstat_evalsha"]["calls"] == count
        assert calls["cmdstat_xadd"]["calls"] == count
        named = [each["name"] for each in cluster.clients[owner].client_list()]
        assert named.count("runbus") <= 3


async def test_no_command_concerns_two_tags(cluster: Cluster) -> None:
    """Inputs go to runs of all tags at once, and are received: over one connection to each primary.

    No command, in a script or outside of one, names keys of two tags, or a key of none.
    """
    run_ids = [UUID(uuid4().hex[:-2] + tag) for tag in TAGS]
    await asyncio.gather(*(settled(send_input(0, run_id)) for run_id in run_ids))
    with ExitStack() as stack:
        primaries = [each for each in cluster.clients if each.role()[0] == "master"]
        monitors = [stack.enter_context(Monitor(client)) for client in primaries]
        listening = [asyncio.create_task(listen(run_id, 3)) for run_id in run_ids]
        for number in (1, 2):
            await asyncio.gather(*(settled(send_input(number, run_id)) for run_id in run_ids))
        assert await asyncio.gather(*listening) == [[0, 1, 2]] * len(run_ids)
    tags: list[str] = []
    for monitor in monitors:
        calls = [each for each in monitor.asked if each.words[0].upper() == "EVALSHA"]
        sends = [each for each in calls if each.words[1] == scripts.SEND.sha]
        assert len({each.client for each in sends}) == 1
        tags += [tag for each in sends for tag in tags_of(each)]
        for each in monitor.asked:
            assert len(tags_of(each)) == (1 if each.keys else 0), each
            assert tags_of(each) <= {*TAGS}, each
    assert sorted(tags) == sorted([*TAGS, *TAGS])  # one call each, for each of two sends


def tags_of(asked: Asked) -> set[str]:
    """The tags of a command's keys; a key without one stands for itself."""
    parts = (key.split("{", 1)[-1].split("}", 1) for key in asked.keys)
    return {part[0] for part in parts}


async def test_a_pause_over_the_cluster(cluster: Cluster) -> None:
    """A flow pauses and is answered, and variables are kept, whatever slot they are in."""

    @flow
    async def ask() -> int:
        return await pause_flow_run(int, timeout=20)

    asking = [asyncio.create_task(ask()) for _ in range(6)]
    answered: set[UUID] = set()
    client = get_client()
    while len(answered) < 6:
        for run in await client.read_flow_runs():
            if run.id not in answered and run.state.name == "Paused":
                try:
                    await resume_flow_run(run.id, {"value": 7})
                except NotPaused:
                    continue
                answered.add(run.id)
        await asyncio.sleep(0.01)
    assert await asyncio.gather(*asking) == [7] * 6
    await Variable.set("colour", "red", overwrite=True)
    assert await Variable.get("colour") == "red"


async def test_deployments_over_the_cluster(cluster: Cluster) -> None:
    """A worker hears of runs in every slot, executes them, and their ends are heard of."""

    @flow
    async def double(number: int) -> int:
        return 2 * number

    worker = Worker([double.to_deployment("there")])
    working = asyncio.create_task(worker.run())
    while await deployments.read(current_bus(), "double/there") is None:
        await asyncio.sleep(0.01)
    runs = await asyncio.gather(
        *(run_deployment("double/there", {"number": n}, timeout=30) for n in range(12))
    )
    worker.stop()
    await working
    assert [run.state.result() for run in runs] == [2 * number for number in range(12)]


async def talk_through(cluster: Cluster, run_ids: list[UUID], trouble: Any) -> float:
    """Send and receive while trouble is made in a thread; return the longest silence."""
    counts = dict.fromkeys(run_ids, 0)
    stop = asyncio.Event()
    longest = 0.0

    async def speak(run_id: UUID) -> None:
        nonlocal longest
        while not stop.is_set():
            start = time.monotonic()
            await send_input(counts[run_id], run_id)
            longest = max(longest, time.monotonic() - start)
            counts[run_id] += 1
            await asyncio.sleep(0.005)

    async def hear(run_id: UUID) -> None:
        inbox, number = receive_input(int, flow_run_id=run_id, timeout=40), 0
        while not stop.is_set() or number < counts[run_id]:
            assert await anext(inbox) == number
            number += 1

    speaking = [asyncio.create_task(speak(run_id)) for run_id in run_ids]
    hearing = [asyncio.create_task(hear(run_id)) for run_id in run_ids]
    await asyncio.to_thread(trouble)
    await asyncio.sleep(0.3)
    stop.set()
    await asyncio.gather(*speaking)
    # A last input for whoever began to wait for one more.
    for run_id in run_ids:
        await send_input(counts[run_id], run_id)
    await asyncio.gather(*hearing)
    return longest


async def test_nodes_whose_host_names_are_not_known(cluster: Cluster) -> None:
    """They are named `?` where host names are preferred: their addresses serve."""
    run_id = uuid4()
    await send_input(1, run_id)
    listening = asyncio.ensure_future(listen(run_id, 2))
    set_on_all(cluster, "cluster-preferred-endpoint-type", "hostname")
    try:
        await asyncio.sleep(1)  # by then its map is a new one
        await send_input(2, run_id)
        with temporary_settings(url=cluster.url, retry_seconds=5):
            await send_input(3, uuid4())
        assert await listening == [1, 2]
    finally:
        set_on_all(cluster, "cluster-preferred-endpoint-type", "ip")


def set_on_all(cluster: Cluster, name: str, value: str) -> None:
    for client in cluster.clients:
        client.config_set(name, value)


async def test_a_slot_moves_while_in_use(cluster: Cluster) -> None:
    """A slot goes from one primary to another, key by key; nothing is lost, doubled or late."""
    run_id, quiet = uuid4(), uuid4()
    quiet = UUID(quiet.hex[:-2] + run_id.hex[-2:])
    slot = cluster.slot_of(run_id)
    source = cluster.owner_of(slot)
    target = next(n for n in range(6) if n != source and cluster.call(n, "ROLE")[0] == "master")
    waiting = asyncio.create_task(listen(quiet, 1))
    await asyncio.sleep(0.1)
    await talk_through(
        cluster,
        [run_id],
        lambda: cluster.move_slot(slot, source, target, lambda: time.sleep(0.3)),
    )
    assert cluster.owner_of(slot) == target
    started = time.monotonic()
    await send_input(1, quiet)
    assert await waiting == [1]
    assert time.monotonic() - started < 2


async def test_a_slot_that_stays_on_its_way(cluster: Cluster) -> None:
    """Somebody breaks a move off in the middle: who waits hears what is sent, and waits on."""
    run_id = uuid4()
    slot = cluster.slot_of(run_id)
    source = cluster.owner_of(slot)
    target = next(n for n in range(6) if n != source and cluster.call(n, "ROLE")[0] == "master")
    pauses, moves, goes_on = itertools.count(), threading.Event(), threading.Event()

    def pause() -> None:
        if next(pauses) == 1:  # the keys have moved
            moves.set()
            assert goes_on.wait(30)

    with temporary_settings(url=cluster.url, retry_seconds=1):
        await send_input(0, run_id)
        listening = asyncio.create_task(listen(run_id, 4))
        moving = asyncio.create_task(
            asyncio.to_thread(cluster.move_slot, slot, source, target, pause)
        )
        await asyncio.to_thread(moves.wait, 30)
        for number in (1, 2):
            done, _ = await asyncio.wait([listening], timeout=1.5)
            assert not done
            add_on_the_way(cluster, target, run_id, number)
        with pytest.raises(ReceiveTimeout):
            await anext(receive_input(str, flow_run_id=run_id, timeout=0.3))
        goes_on.set()
        await moving
        await send_input(3, run_id)
        assert await listening == [0, 1, 2, 3]


def add_on_the_way(cluster: Cluster, target: int, run_id: UUID, number: int) -> None:
    # By hand: a script with keys that are not there yet is told TRYAGAIN until the move is over.
    with cluster.clients[target].pipeline(transaction=False) as pipe:
        pipe.execute_command("ASKING")
        pipe.xadd(f"runbus:{{{run_id.hex[-2:]}}}:{run_id}:input:int", {"value": str(number)})
        pipe.execute()


async def test_a_run_is_followed_while_its_slot_stays_on_its_way(
    cluster: Cluster, configure: Callable[..., None]
) -> None:
    """Who began to wait before, or begins then, hears of the end that comes where the slot goes."""
    configure(lease_seconds=1800)  # a record is looked at every third of it, too
    run_id = uuid4()
    await created(run_id, {"name": "n", "flow": "f"}, "me")
    slot = cluster.slot_of(run_id)
    source = cluster.owner_of(slot)
    target = next(n for n in range(6) if n != source and cluster.call(n, "ROLE")[0] == "master")
    pauses, moves, goes_on = itertools.count(), threading.Event(), threading.Event()

    def pause() -> None:
        if next(pauses) == 1:  # the keys have moved
            moves.set()
            assert goes_on.wait(30)

    waiting = [asyncio.create_task(wait_for_flow_run(run_id, 20, poll_interval=600))]
    await asyncio.sleep(0.2)
    moving = asyncio.create_task(asyncio.to_thread(cluster.move_slot, slot, source, target, pause))
    await asyncio.to_thread(moves.wait, 30)
    waiting.append(asyncio.create_task(wait_for_flow_run(run_id, 20, poll_interval=600)))
    await asyncio.sleep(1)
    end_on_the_way(cluster, target, run_id)
    assert [run.state.name for run in await asyncio.gather(*waiting)] == ["Completed"] * 2
    goes_on.set()
    await moving


def end_on_the_way(cluster: Cluster, target: int, run_id: UUID) -> None:
    tag = f"runbus:{{{run_id.hex[-2:]}}}"
    with cluster.clients[target].pipeline(transaction=False) as pipe:
        pipe.execute_command("ASKING")
        state = {"state_name": "Completed", "state_type": "COMPLETED"}
        pipe.hset(f"{tag}:{run_id}:run", mapping=state)
        pipe.execute_command("ASKING")
        pipe.hset(f"{tag}:{run_id}:ends", "final", "COMPLETED")
        pipe.execute()


async def test_a_replica_takes_over_by_hand(cluster: Cluster) -> None:
    """CLUSTER FAILOVER while senders send and a run waits: all go on."""
    run_ids = on_every_node(cluster)
    slot = cluster.slot_of(run_ids[0])
    quiet = UUID(uuid4().hex[:-2] + run_ids[0].hex[-2:])
    waiting = asyncio.create_task(listen(quiet, 1))
    await asyncio.sleep(0.1)
    before = cluster.owner_of(slot)
    replica = cluster.replica_of(before)

    await talk_through(cluster, run_ids, lambda: cluster.fail_over(slot))
    # Somebody else's client adds it, at the new primary.
    name = f"runbus:{{{quiet.hex[-2:]}}}:{quiet}:input:int"
    started = time.monotonic()
    cluster.call(replica, "XADD", name, "*", "value", "1")
    assert await waiting == [1]
    assert time.monotonic() - started < 2
    until(lambda: cluster.replica_of(replica) == before, "the old primary follows")


@pytest.mark.parametrize("engine", ["valkey", "redis"])
@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_a_primary_is_gone(engine: Any, how: str) -> None:
    """A primary dies or freezes: its runs go on within 2 s after the replica took over."""
    with Cluster(engine) as cluster, temporary_settings(url=cluster.url):
        run_id = on_every_node(cluster)[0]
        slot = cluster.slot_of(run_id)
        primary = cluster.owner_of(slot)
        quiet = UUID(uuid4().hex[:-2] + run_id.hex[-2:])
        waiting = asyncio.create_task(listen(quiet, 1))
        await send_input(0, run_id)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(getattr(cluster.nodes[primary], how))
        sent = send_input(1, run_id)
        new = await asyncio.to_thread(
            until, lambda: 1 + cluster.owner_of(slot, but=primary), "a new primary"
        )
        started = time.monotonic()
        await sent
        assert time.monotonic() - started < 2
        name = f"runbus:{{{quiet.hex[-2:]}}}:{quiet}:input:int"
        await asyncio.to_thread(cluster.call, new - 1, "XADD", name, "*", "value", "1")
        assert await waiting == [1]
        assert time.monotonic() - started < 2
        assert await listen(run_id, 2) == [0, 1]
