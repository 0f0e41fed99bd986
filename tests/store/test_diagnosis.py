"""The diagnosis of a server: what is well, what is wrong, and what a server hides."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from clusters import Cluster
from servers import Server

from runbus import get_client
from runbus.settings import temporary_settings
from runbus.store.admin import report

if TYPE_CHECKING:
    from runbus.store.admin.report import Check, ServerReport

EVERYTHING = {
    *("server", "eviction", "memory", "persistence", "replicas"),
    *("clock", "waking", "leases", "queue", "indexes"),
}

DIES_IN_A_FLOW = """
import os, signal
from runbus import flow

@flow
def die():
    os.kill(os.getpid(), signal.SIGKILL)

die()
"""


def by_name(found: ServerReport) -> dict[str, Check]:
    return {check.name: check for check in found.checks}


async def test_a_good_server(server: Server) -> None:
    """Each check is there and finds nothing, on each engine."""
    found = await get_client().server_report()
    assert {check.name for check in found.checks} == EVERYTHING
    assert all(check.ok for check in found.checks), found.checks
    assert found.ok
    product = "Valkey" if server.engine == "valkey" else "Redis"
    assert f"{product} " in by_name(found)["server"].found
    assert str(server.port) in found.address


@pytest.mark.parametrize("engine", ["valkey", "redis"])
async def test_a_server_that_forgets(engine) -> None:
    """Eviction and a missing append-only file are wrong, and it is said how to set them."""
    settings = ("--appendonly", "no", "--maxmemory-policy", "allkeys-lru", "--maxmemory", "1mb")
    with Server.start(engine, *settings) as server, temporary_settings(url=server.url):
        checks = by_name(await get_client().server_report())
    assert checks["eviction"].ok is False
    assert "noeviction" in checks["eviction"].advice
    assert checks["persistence"].ok is False
    assert "appendonly yes" in checks["persistence"].advice
    assert checks["memory"].ok is False, "an empty server takes most of a megabyte"


@pytest.mark.long
@pytest.mark.parametrize("how", ["kill", "freeze"])
@pytest.mark.parametrize("of", ["00", "01"])  # the tag that is asked for first, and another
async def test_a_part_of_a_cluster_is_gone(how: str, of: str) -> None:
    """It is named, soon, and what the others say is told."""
    options = ("--cluster-require-full-coverage", "no")
    with Cluster("valkey", *options) as cluster, temporary_settings(url=cluster.url):
        await get_client().server_report()
        part = cluster.owner_of(cluster.call(0, "CLUSTER", "KEYSLOT", of))
        for number in (part, cluster.replica_of(part)):
            getattr(cluster.nodes[number], how)()
        async with asyncio.timeout(20):
            found = await get_client().server_report()
    servers = [check for check in found.checks if check.name == "server"]
    assert sorted(check.ok for check in servers) == [False, True, True]
    (gone,) = (check for check in servers if not check.ok)
    assert str(cluster.nodes[part].port) in gone.found
    assert by_name(found).keys() == EVERYTHING


async def test_what_an_acl_hides_is_unknown(server: Server) -> None:
    """A user who may see little gets a report with what that user may see."""
    with server.client() as client:
        words = [
            "SETUSER",
            "modest",
            "on",
            ">secret",
            "~*",
            "&*",
            "+@all",
            "-info",
            "-config",
            "-time",
        ]
        client.execute_command("ACL", *words)
    url = server.url.replace("redis://", "redis://modest:secret@")
    try:
        with temporary_settings(url=url):
            found = await get_client().server_report()
    finally:
        with server.client() as client:
            client.execute_command("ACL", "DELUSER", "modest")
    checks = by_name(found)
    assert {name for name, check in checks.items() if check.ok is None} == EVERYTHING - {
        *("waking", "leases", "queue", "indexes")
    }
    assert "ACL" in checks["clock"].advice
    assert found.ok, "what is unknown is not wrong"
    assert "secret" not in str(found)


async def test_a_tracking_that_is_refused(server: Server) -> None:
    """Where pushes may not be asked for, the report says so and goes on."""
    with server.client() as client:
        client.execute_command(
            "ACL", *["SETUSER", "deaf", "on", ">x", "~*", "&*", "+@all", "-client|tracking"]
        )
    try:
        with temporary_settings(url=server.url.replace("redis://", "redis://deaf:x@")):
            checks = by_name(await get_client().server_report())
    finally:
        with server.client() as client:
            client.execute_command("ACL", "DELUSER", "deaf")
    assert checks["waking"].ok is None
    assert "tracking" in checks["waking"].found
    assert checks["queue"].ok


@pytest.mark.keys_without_lifetime  # as those of runs that nobody has taken over yet
def test_runs_of_a_process_that_is_gone(server: Server) -> None:
    """The runs of a killed process are counted as soon as its lease has ended."""
    environment = {**os.environ, "RUNBUS_URL": server.url, "RUNBUS_LEASE_SECONDS": "1"}
    subprocess.run([sys.executable, "-c", DIES_IN_A_FLOW], env=environment, check=False)
    with server.client() as client:
        while client.keys("runbus:{*}:lease:*"):
            time.sleep(0.02)
    leases = by_name(asyncio.run(get_client().server_report()))["leases"]
    assert leases.ok is False
    assert "1 runs belong to 1 processes that are gone" in leases.found
    assert "worker" in leases.advice


async def test_a_server_that_is_not_there() -> None:
    """An unreachable server is a report too, without the password of its URL."""
    with temporary_settings(url="redis://:secret@127.0.0.1:1", retry_seconds=0.3):
        found = await get_client().server_report()
    (check,) = found.checks
    assert (check.name, check.ok, found.ok) == ("server", False, False)
    assert "127.0.0.1:1" in check.found
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    ("check", "ok", "word"),
    [
        (report.judge_clock(0.5, 0.1), True, "behind"),
        (report.judge_clock(-600, 0.1), False, "ahead"),
        (report.judge_waking(None, 0, None), False, "not told"),
        (report.judge_waking(0.001, 950, 1000), False, "950 keys are tracked of 1,000"),
        (report.judge_queue({"greet/demo": 2}, 600), False, "2 runs wait"),
        (report.judge_queue({"greet/demo": 2}, 1), True, "2 runs wait"),
        (report.judge_replicas({"connected_slaves": "2"}, 0), False, "there are 2"),
        (report.judge_replicas({"connected_slaves": "2"}, 1), True, "there are 2"),
        (report.judge_indexes(1000, 0, is_all=False), True, "1,000, not all"),
        (report.judge_server({"redis_version": "6.2.1"}, "x"), False, "Redis 6.2.1"),
        (report.judge_server({"redis_version": "7.0.0", "role": "slave"}, "x"), False, "replica"),
        (
            report.judge_persistence({"aof_enabled": "1", "aof_last_write_status": "err"}),
            False,
            "aof_last_write_status",
        ),
    ],
)  # fmt: skip
def test_a_judgement(check: Check, ok, word) -> None:
    """What cannot be brought about quickly on a real server is judged from what it would say."""
    assert check.ok is ok
    assert word in check.found
    assert bool(check.advice) is not ok
