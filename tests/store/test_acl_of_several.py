"""The users of `runbus acl` on a cluster and behind Sentinel, where nobody may do more.

Every server begins with the file, so whoever becomes a primary knows the same users; replicas and
sentinels come as `admin`, and the programs ask the sentinels as a user of their own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from acl_users import PREFIX, login, serving, started, waits, write_users
from clusters import Cluster, SentinelGroup, until
from server_errors import assert_all_are_told

from runbus import (
    get_client,
    receive_input,
    resume_flow_run,
    send_input,
    wait_for_flow_run,
)
from runbus.errors import RightMissing, RunMissing
from runbus.settings import temporary_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis import Redis
    from servers import Engine

# All that the programs ask the sentinels.
FINDER = "on >finder-password -@all +@connection +sentinel|get-master-addr-by-name +sentinel|master"
# May do everything but find its way.
LOST = "on >lost-password ~* &* +@all -cluster|slots"


class GuardedCluster:
    """A cluster whose users are those of the file."""

    def __init__(self, engine: Engine, options: tuple[str, ...]) -> None:
        self.servers = Cluster(engine, *options, **login("admin"))

    def url(self, user: str) -> str:
        return self.servers.url.replace("//", f"//{user}:{user}-password@")

    def change_primary(self, run_id: UUID) -> None:
        """Let the replica of the run's primary take over."""
        self.servers.fail_over(self.servers.slot_of(run_id))

    def move(self, run_id: UUID, meanwhile: Callable[[], None]) -> None:
        """Move the run's slot; `meanwhile` is called in the middle."""
        slot = self.servers.slot_of(run_id)
        source = self.servers.owner_of(slot)
        others = (self.servers.owner_of(each) for each in (1, 6000, 12000))
        target = next(each for each in others if each != source)
        self.servers.move_slot(slot, source, target, meanwhile)


class GuardedGroup:
    """A sentinel group whose users are those of the file, and whose sentinels have another."""

    def __init__(self, engine: Engine, options: tuple[str, ...]) -> None:
        self.servers = SentinelGroup(engine, *options, **login("admin"))
        for sentinel in self.servers.sentinel_clients:
            sentinel.execute_command("ACL", "SETUSER", "finder", *FINDER.split())

    def url(self, user: str) -> str:
        asked_as = "sentinel_username=finder&sentinel_password=finder-password"
        return f"{self.servers.url}?{asked_as}".replace("//", f"//{user}:{user}-password@")

    def change_primary(self, _: UUID) -> None:
        """Have the sentinels make a replica the primary."""
        before, group = self.servers.primary(), self.servers
        group.sentinel_clients[0].execute_command("SENTINEL", "FAILOVER", group.name)
        new = until(lambda: 1 + group.primary(but=before), "a new primary") - 1
        # The sentinels tell it too, after ten seconds in which it takes writes that get lost.
        group.clients[before].replicaof("127.0.0.1", group.nodes[new].port)


Guarded = GuardedCluster | GuardedGroup


@pytest.fixture(params=["cluster-valkey", "sentinel-redis7"])
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Guarded]:
    """Servers that began with the file: a cluster of one engine, a sentinel group of the other."""
    admin = login("admin")
    replicate_as = ("--masteruser", admin["username"], "--masterauth", admin["password"])
    options = ("--aclfile", str(write_users(tmp_path)), *replicate_as)
    if request.param == "cluster-valkey":
        guarded = GuardedCluster("valkey", options)
    else:
        guarded = GuardedGroup("redis", options)
    with guarded.servers:
        yield guarded


def acting(guarded: Guarded, user: str) -> Any:
    return temporary_settings(url=guarded.url(user), prefix=PREFIX)


def refused(clients: list[Redis]) -> set[str]:
    """What the servers have refused."""
    log = [each for client in clients for each in client.acl_log()]
    return {f"{each['username']}: {each['object']}" for each in log}


async def test_each_does_its_part_and_no_more(guarded: Guarded) -> None:
    """A run is started, answered, sent to over a change of the primary, and read.

    Its flow, in a worker's process, receives, pauses, suspends and starts others.
    """
    with serving(guarded.url("worker"), lease_seconds=5):
        with acting(guarded, "web"):
            run_id = await started("everything/x", "a")
            await waits(run_id, "Paused")
        await asyncio.to_thread(guarded.change_primary, run_id)
        with acting(guarded, "web"):
            await resume_flow_run(run_id, {"value": 7}, by="ada")
        with acting(guarded, "sender"):
            await send_input("from outside", run_id)
        with acting(guarded, "web"):
            await waits(run_id, "Suspended")
            await resume_flow_run(run_id, {"value": True})
            run = await wait_for_flow_run(run_id, timeout=30)
        assert run.state.result() == [7, "from outside", "from the child", True, "kept"]
        with acting(guarded, "reader"):
            client = get_client()
            assert run_id in [each.id for each in await client.read_flow_runs()]
            assert [each.by for each in await client.read_pauses(run_id)] == ["ada", None]
        await look_into_a_slot_that_moves(guarded)
        # A sender is asked once per connection whether it may read, and a reader makes no keys.
        asked = {"sender: xrevrange", "reader: set"}
        assert refused(guarded.servers.clients) <= asked
        await nobody_does_more(guarded)
        await who_may_not_see_the_map_is_told(guarded)


async def look_into_a_slot_that_moves(guarded: Guarded) -> None:
    """Read what is on its way to another primary, where each call has to ask to be let in."""
    if isinstance(guarded, GuardedCluster):
        run_id = uuid4()

        def look() -> None:
            with acting(guarded, "reader"), pytest.raises(RunMissing):
                asyncio.run(get_client().read_flow_run(run_id))

        await asyncio.to_thread(guarded.move, run_id, look)
        found = [client.info("commandstats") for client in guarded.servers.clients]
        assert any("cmdstat_asking" in each for each in found)


async def nobody_does_more(guarded: Guarded) -> None:
    """A sender reads nothing, a worker answers nothing, a reader writes nothing."""
    with acting(guarded, "web"):
        run_id = await started("wait/x")
        await waits(run_id, "Paused")
    with acting(guarded, "sender"), pytest.raises(RightMissing):
        await receive_input(str, flow_run_id=run_id, timeout=5).next()
    with acting(guarded, "worker"), pytest.raises(RightMissing, match="'answer'"):
        await resume_flow_run(run_id, {"value": "forged"})
    with acting(guarded, "reader"), pytest.raises(RightMissing, match="'send'"):
        await send_input("forged", run_id)
    with acting(guarded, "reader"):
        assert (await get_client().read_flow_run(run_id)).state.name == "Paused"
        assert await get_client().read_inputs(run_id) == []


async def who_may_not_see_the_map_is_told(guarded: Guarded) -> None:
    """Whoever sends, asks or waits is told at once which right is missing."""
    if not isinstance(guarded, GuardedCluster):
        return
    for client in guarded.servers.clients:
        client.execute_command("ACL", "SETUSER", "lost", *LOST.split())
    with temporary_settings(url=guarded.url("lost"), prefix=PREFIX, retry_seconds=3600):
        await assert_all_are_told(RightMissing, "CLUSTER SLOTS")
