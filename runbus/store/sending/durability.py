"""Durability: makes sure that what a primary has stored survives what its caller is afraid of.

WAIT and WAITAOF speak of the writes of their own connection, and hold that connection up. So they
go down one of their own, in rounds: first each proof that what was stored is there, so that a
failover in between is found out; then a write of the round's own, which comes after all that the
proofs saw; then the wait for that write. Who comes meanwhile is in the next round. A server without
WAITAOF (Redis before 7.2) proves as much by `appendfsync always`: then no reply comes before its
write is on the disk.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from hiredis import ReplyError

from runbus.errors import DurabilityTimeout, NotDurable
from runbus.protocol.durability import Durability, Replicated
from runbus.store.connection.backoff import backoff
from runbus.store.connection.connection import ConnectionLost, is_transient, settle
from runbus.store.connection.reconnecting_connection import ReconnectingConnection
from runbus.supervision import tasks

if TYPE_CHECKING:
    from runbus.protocol.keys import Keys
    from runbus.settings import Settings
    from runbus.store.connection.connection import Command, Connection
    from runbus.store.sending.receipt import Send
    from runbus.store.topology import Topology
    from runbus.store.topology.node import Node

    Joined = tuple["Stored", asyncio.Future[Durability]]

MARK_MS = 60_000


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Something that was stored, and how to see that it is there."""

    what: str
    """Its name in errors: `input 'str-1'`."""
    tag: str
    """The hash tag of its key."""
    key: str
    proof: Command
    """A command whose reply is true as long as it is there."""


@dataclass
class Group:
    """Those who wait for the same durability on the same server."""

    connection: ReconnectingConnection
    joining: list[Joined] = field(default_factory=list["Joined"])
    rounds: asyncio.Task[None] | None = None
    trouble: Exception | None = None
    """What the last round failed of: the server may be another one by now."""
    short: str = ""
    """How far it came, as long as that is not enough."""


class DurabilityWaiter:
    """What one event loop waits for, beyond a primary's memory."""

    def __init__(self, topology: Topology, keys: Keys, settings: Settings) -> None:
        self._topology = topology
        self._keys = keys
        self._settings = settings
        # A server that has left its cluster takes its groups along.
        self._groups: WeakKeyDictionary[Node, dict[Durability, Group]] = WeakKeyDictionary()
        self._settling: dict[asyncio.Task[None], Send] = {}

    def pending(self) -> list[Send]:
        """Return the stored inputs whose receipts wait."""
        return list(self._settling.values())

    def settle(self, sent: Send, stored: Stored, entry_id: str, duplicate: bool) -> None:
        """Settle the receipt of a stored input once it is as durable as its sender wants it."""
        work = self._settle(sent, stored, entry_id, duplicate=duplicate)
        task = tasks.start(work)
        self._settling[task] = sent
        task.add_done_callback(self._settling.pop)

    async def _settle(self, sent: Send, stored: Stored, entry_id: str, *, duplicate: bool) -> None:
        error: Exception | None = None
        try:
            sent.durability = await self.confirm(stored, sent.wanted)
        except NotDurable as failure:
            error = failure
        except BaseException:
            error = DurabilityTimeout(stored.what, sent.wanted, "the event loop ended")
            raise
        finally:
            sent.settle(entry_id, error, duplicate=duplicate)

    async def confirm(self, stored: Stored, wanted: Durability) -> Durability:
        """Wait until something is durable; return how much it is, as much as wanted or more.

        Raises `NotDurable`, `DurabilityTimeout` when it takes longer than the settings say.
        """
        if wanted == "memory":
            return wanted
        cause: Exception | None = None
        try:
            async with asyncio.timeout(self._settings.durability_timeout_seconds):
                for delay in backoff():
                    await asyncio.sleep(delay)
                    try:
                        return await self._join(stored, wanted)
                    except (ConnectionLost, ConnectionError) as error:
                        cause = error
                    except ReplyError as error:
                        if not is_transient(error):
                            raise NotDurable(stored.what, wanted, str(error)) from None
                        cause = error
        except TimeoutError:
            seconds = self._settings.durability_timeout_seconds
            short = str(cause) if cause else self._group(stored, wanted).short
            why = f"not within {seconds:g} s" + (f" ({short})" if short else "")
            raise DurabilityTimeout(stored.what, wanted, why) from None
        raise AssertionError("backoff never ends")

    def _group(self, stored: Stored, wanted: Durability) -> Group:
        node = self._topology.owner(stored.key)
        groups = self._groups.setdefault(node, {})
        if wanted not in groups:
            connection = ReconnectingConnection(node.server, self._settings, patience=0)
            node.attach(connection)
            groups[wanted] = Group(connection)
        return groups[wanted]

    async def _join(self, stored: Stored, wanted: Durability) -> Durability:
        group = self._group(stored, wanted)
        future: asyncio.Future[Durability] = asyncio.get_running_loop().create_future()
        group.joining.append((stored, future))
        if group.rounds is None or group.rounds.done():
            group.rounds = tasks.start(self._go_round(group, wanted))
        return await future

    async def _go_round(self, group: Group, wanted: Durability) -> None:
        while group.joining:
            joined, group.joining = group.joining, []
            outcome: Durability | Exception = ConnectionLost("cancelled")
            try:
                connection = await group.connection.connected(group.trouble)
                there = await self._prove(connection, joined, wanted)
                outcome = await self._wait(group, connection, wanted, there)
                group.trouble = None
            except Exception as error:
                outcome = group.trouble = error
            finally:
                for _, future in joined:
                    settle(future, outcome)

    async def _prove(
        self, connection: Connection, joined: list[Joined], wanted: Durability
    ) -> list[asyncio.Future[Durability]]:
        # All in one write, in this order.
        replies = [connection.call(*stored.proof) for stored, _ in joined]
        mark = connection.call("SET", self._keys.barrier(joined[0][0].tag), "1", "PX", MARK_MS)
        found = await asyncio.gather(*replies, return_exceptions=True)
        await mark  # what a server shows that takes no writes any more proves nothing
        there: list[asyncio.Future[Durability]] = []
        for (stored, future), reply in zip(joined, found, strict=True):
            if isinstance(reply, Exception):
                settle(future, reply)
            elif not reply:
                why = "it is not there any more: a failover has lost it, or somebody deleted it"
                settle(future, NotDurable(stored.what, wanted, why))
            else:
                there.append(future)
        return there

    async def _wait(
        self,
        group: Group,
        connection: Connection,
        wanted: Durability,
        there: list[asyncio.Future[Durability]],
    ) -> Durability:
        # Or the connection is held for dead, or how far it came is not known in time.
        longest = min(
            self._settings.reply_timeout_seconds, self._settings.durability_timeout_seconds
        )
        slice_ms = max(1, int(longest * 500))
        while not all(future.done() for future in there):
            if isinstance(wanted, Replicated):
                replicas = await connection.call("WAIT", wanted.replicas, slice_ms)
                if replicas >= wanted.replicas:
                    return Replicated(replicas)
                group.short = f"{replicas} of {wanted.replicas} replicas have it"
            elif await _is_on_disk(connection, slice_ms):
                return wanted
            else:
                group.short = "it is not on the disk yet; `appendfsync` says when it comes there"
        return wanted  # nobody waits for it any more


async def _is_on_disk(connection: Connection, slice_ms: int) -> bool:
    try:
        local, _ = await connection.call("WAITAOF", 1, 0, slice_ms)
    except ReplyError as error:
        if "unknown command" not in str(error):
            raise
    else:
        return local > 0
    found = await connection.call("CONFIG", "GET", "append*")
    if (found.get(b"appendonly"), found.get(b"appendfsync")) != (b"yes", b"always"):
        raise ReplyError("this server has no WAITAOF, and is not set to appendfsync always")
    return True
