"""A diagnosis of the server: asks it what `runbus doctor` tells.

Each check stands alone, so that a server that hides one thing (ACL) still tells the others.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from hiredis import ReplyError

from runbus.errors import RunbusError, ServerRefused, ServerUnreachable
from runbus.protocol.keys import TAGS, tag
from runbus.store.admin import report
from runbus.store.admin.report import Check, ServerReport
from runbus.store.connection.connection import ConnectionLost, is_transient
from runbus.store.connection.error_replies import refused
from runbus.store.connection.reconnecting_connection import ReconnectingConnection
from runbus.store.maintenance import index_repair
from runbus.store.records import deployments, executions, runs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runbus.store.admin.report import Info
    from runbus.store.bus import Bus
    from runbus.store.connection.connection import Connection
    from runbus.store.connection.connector import Connector
    from runbus.store.connection.reply import Reply
    from runbus.store.topology.node import Node

__all__ = ["Check", "ServerReport", "examine"]

# Longer than one attempt to connect, whose reason is told.
LONGEST_WAIT = 6.0
PUSH_SECONDS = 2.0
_INFO_CHECKS = (report.judge_eviction, report.judge_memory, report.judge_persistence)


async def examine(bus: Bus) -> ServerReport:
    """Look at the server. An unreachable one is a report too, within twelve seconds or so."""
    connector = bus.topology.connector(bus.keys.here(TAGS[0]))
    address = connector.server.address
    try:
        await _reached(bus, connector)
    except RunbusError as error:
        if len(_primaries(bus)) <= 1:  # else the others may tell
            check = Check(name="server", ok=False, found=str(error))  # which says what to do, too
            return ServerReport(address=address, checks=[check])
    checks: list[Check] = []
    info: Info = {}
    nodes = _primaries(bus)
    for node, found in zip(nodes, await asyncio.gather(*map(_info, nodes)), strict=True):
        if isinstance(found, Check):
            checks.append(found)
            continue
        info = found
        checks.append(report.judge_server(info, node.server.address))
        checks += [judge(info) for judge in _INFO_CHECKS]
        checks.append(report.judge_replicas(info, await _fewest_replicas(node)))
    looks = (_look(bus, name, look, info) for name, look in _LOOKS.items())
    return ServerReport(address=address, checks=checks + await asyncio.gather(*looks))


async def _reached(bus: Bus, connector: Connector) -> None:
    cause: Exception | None = None
    started = bus.loop.time()
    try:
        async with asyncio.timeout(min(LONGEST_WAIT, bus.settings.retry_seconds)):
            await _ask(await connector.connected(), bus.keys.here(TAGS[0]))
            return
    except (ConnectionLost, ReplyError) as error:
        cause = error
    except TimeoutError:
        pass  # the connector knows why
    raise connector.unreachable(bus.loop.time() - started, cause)


async def _ask(connection: Connection, key: str) -> None:
    """Raise what the server says if it cannot answer yet."""
    try:
        await connection.call("GET", key)
    except ReplyError as error:
        if is_transient(error):
            raise


def _primaries(bus: Bus) -> list[Node]:
    """Return the nodes that have keys."""
    owners = {bus.topology.owner(bus.keys.here(tag)) for tag in TAGS}
    return [node for node in bus.topology.nodes() if node in owners]


async def _info(node: Node) -> Info | Check:
    try:
        async with asyncio.timeout(LONGEST_WAIT):
            connection = await node.command_connection.connected()
            return report.read_info(await connection.call("INFO"))
    except ReplyError:
        return {}  # each check says that it does not know
    except ServerUnreachable as error:
        return Check(name="server", ok=False, found=str(error))
    except (ConnectionLost, TimeoutError):
        found = f"{node.server.address} does not answer"
        return Check(name="server", ok=False, found=found)


async def _fewest_replicas(node: Node) -> int | None:
    name = "min-replicas-to-write"
    with suppress(ReplyError, ConnectionLost, ServerUnreachable, TimeoutError):
        async with asyncio.timeout(LONGEST_WAIT):
            connection = await node.command_connection.connected()
            reply = await connection.call("CONFIG", "GET", name)
            return int(reply[name.encode()])
    return None


async def _look(
    bus: Bus, name: str, look: Callable[[Bus, Info], Awaitable[Check]], info: Info
) -> Check:
    try:
        async with asyncio.timeout(LONGEST_WAIT):
            return await look(bus, info)
    except ServerUnreachable as error:
        return Check(name=name, ok=None, found=str(error))
    except TimeoutError:
        return Check(name=name, ok=None, found="not every server answers in time")
    except RunbusError as error:
        return report.unknown(name, error)


async def _clock(bus: Bus, _: Info) -> Check:
    before = time.time()
    server = await bus.commands.time()
    after = time.time()
    return report.judge_clock(server - (before + after) / 2, (after - before) / 2)


async def _waking(bus: Bus, info: Info) -> Check:
    seconds = await _time_to_push(bus)
    tracked = int(info.get("tracking_total_keys", "0"))
    return report.judge_waking(seconds, tracked, await _tracking_limit(bus))


async def _tracking_limit(bus: Bus) -> int | None:
    name = "tracking-table-max-keys"
    try:
        reply = await bus.commands.command("CONFIG", "GET", name)
    except ServerRefused:
        return None
    limit = reply.get(name.encode())
    return int(limit) if limit and int(limit) else None


async def _time_to_push(bus: Bus) -> float | None:
    """Change a key that a connection of its own reads; return when the push came (seconds)."""
    pushed: asyncio.Future[float] = bus.loop.create_future()

    def on_push(message: list[Reply]) -> None:
        if message[0] == b"invalidate" and not pushed.done():
            pushed.set_result(bus.loop.time())

    key = bus.keys.here(TAGS[0])
    server = bus.topology.owner(key).server
    connection = ReconnectingConnection(server, bus.settings, on_push=on_push)
    try:
        await _read(await connection.connected(), server.address, key)
        started = bus.loop.time()
        lifetime = max(1, int(bus.settings.retention_seconds))
        await bus.commands.command("SET", key, "1", "EX", lifetime)
        async with asyncio.timeout(PUSH_SECONDS):
            return await pushed - started
    except (TimeoutError, ConnectionError):
        return None
    finally:
        connection.close()


async def _read(connection: Connection, address: str, key: str) -> None:
    try:
        await connection.call("GET", key)
    except ReplyError as error:
        raise refused(address, error, ("GET", key)) from None


async def _leases(bus: Bus, _: Info) -> Check:
    owners = await executions.owners(bus)
    covered = sorted({(tag(run_id), owner) for owner, ids in owners.items() for run_id in ids})
    alive = await bus.primaries.each(*(("EXISTS", bus.keys.lease(*each)) for each in covered))
    dead = {owner for (_, owner), lives in zip(covered, alive, strict=True) if lives == 0}
    return report.judge_leases({owner: len(ids) for owner, ids in owners.items()}, dead)


async def _queue(bus: Bus, _: Info) -> Check:
    names = await deployments.names(bus)
    oldest = [run_id for run_id, _ in await runs.scheduled(bus, names, 1)]
    found = [run for run in await runs.read_several(bus, oldest) if run is not None]
    since = [run.state.timestamp.timestamp() for run in found if run.state.timestamp]
    longest = 0.0
    if since:  # by the clock of a server that has just answered
        longest = max(0.0, await bus.commands.time(bus.keys.run(found[0].id)) - min(since))
    return report.judge_queue(Counter(await runs.count_scheduled(bus, names)), longest)


async def _indexes(bus: Bus, _: Info) -> Check:
    looked_at, wrong, is_all = await index_repair.examine(bus, LONGEST_WAIT / 2)
    return report.judge_indexes(looked_at, wrong, is_all=is_all)


_LOOKS: dict[str, Callable[[Bus, Info], Awaitable[Check]]] = {
    "clock": _clock,
    "waking": _waking,
    "leases": _leases,
    "queue": _queue,
    "indexes": _indexes,
}
