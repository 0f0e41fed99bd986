"""Cluster: each slot has a primary, and primaries change while everything goes on.

The map of the slots is asked for twice a second, at once when a server says MOVED or a connection
is lost, and believed when its epoch is the newest that was seen. What is sent goes by the map; a
call that was told otherwise repeats where it was told to (MOVED, ASK), and one that is told to
wait waits (TRYAGAIN, CLUSTERDOWN). When a slot has moved, those who wait for its
streams are told, go over to the new primary and read there.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import count
from typing import TYPE_CHECKING, Protocol

from hiredis import ReplyError

from runbus.errors import ServerRefused, ServerUnreachable
from runbus.store.connection.connection import ConnectionLost, is_transient
from runbus.store.connection.error_replies import refused
from runbus.store.connection.hash_slots import UNKNOWN_HOST, key_of, read_owners, slot_of
from runbus.store.topology import tls
from runbus.store.topology.node import Node
from runbus.store.topology.poller import Poller
from runbus.store.topology.server import RemoteServer
from runbus.store.topology.slot_connection import SlotConnection, asking
from runbus.supervision import tasks

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from runbus.protocol.keys import Keys
    from runbus.settings import Settings
    from runbus.store.connection.connection import Command, Connection
    from runbus.store.connection.hash_slots import Address
    from runbus.store.connection.reply import Reply
    from runbus.store.topology.urls import SeveralServers

    Answer = tuple[bytes, list[Reply]] | ServerRefused | None

ASK_SECONDS = 1.0


class Observer(Protocol):
    """Who is told what becomes of the cluster."""

    def on_moved(self) -> None:
        """Take note that keys have moved to other nodes."""
        ...

    def on_refused(self, error: ServerRefused, /) -> None:
        """Take note that no node tells where the slots are."""
        ...


class Cluster:
    """The topology of a cluster."""

    has_slots = True
    """Whether keys move from node to node one slot at a time."""

    def __init__(self, several: SeveralServers, keys: Keys, settings: Settings) -> None:
        self._several = several
        self._keys = keys
        self._settings = settings
        self._seconds = min(ASK_SECONDS, settings.connect_timeout_seconds)
        self._nodes: dict[Address, Node] = {}
        self._owners: dict[int, Address] = {}
        self._epoch = -1
        self._refusal: ServerRefused | None = None
        self._slot_connections: dict[int, SlotConnection] = {}
        self._turns = count()
        self._observer: Observer | None = None
        RemoteServer(several.url_of(*several.hosts[0]), settings).check_files()
        for address in several.hosts:
            self.node(address)
        self._poller = Poller(self._refresh)
        self._poller.poll()

    @property
    def address(self) -> str:
        """How a person would name it."""
        hosts = ",".join(f"{host}:{port}" for host, port in self._several.hosts)
        return f"the cluster at {hosts}"

    def connector(self, key: str) -> SlotConnection:
        """Return the connector of a key, which outlives all changes of the map."""
        return self._slot_connection(slot_of(key))

    def connector_for(self, command: Command) -> SlotConnection:
        """Return the connector for a command; one without a key goes to any primary."""
        key = key_of(command)
        return self._slot_connection(0 if key is None else slot_of(key))

    def owner(self, key: str | bytes) -> Node:
        """Return the node that has a key at this moment."""
        return self._owner(slot_of(key))

    def spread(self, commands: tuple[Command, ...]) -> list[list[int]]:
        """Put commands together that have the same primary, by their places."""
        groups: dict[Address | None, list[int]] = {}
        for place, command in enumerate(commands):
            slot = slot_of(key_of(command) or "")
            groups.setdefault(self._owners.get(slot), []).append(place)
        return list(groups.values())

    def nodes(self) -> list[Node]:
        """Return all nodes."""
        return list(self._nodes.values())

    async def locate(self) -> None:
        """Ask for the map of the slots, for a second at most, unless there is one.

        Raises `ServerRefused` where no node may tell.
        """
        if not self._owners:
            await asyncio.wait([self._poller.poll()], timeout=self._seconds)
        if self._refusal is not None:
            raise self._refusal

    def primaries(self) -> list[Node]:
        """Return the nodes that have slots, as far as is known."""
        return [self.node(address) for address in set(self._owners.values())]

    def observe(self, observer: Observer) -> None:
        """Tell somebody of what becomes of the cluster from now on."""
        self._observer = observer

    def close(self) -> None:
        """End all connections for good."""
        self._poller.close()
        for node in self._nodes.values():
            node.close()

    def node(self, address: Address) -> Node:
        """Return the node at an address."""
        if address not in self._nodes:
            server = RemoteServer(self._several.url_of(*address), self._settings)
            self._nodes[address] = Node(server, self._keys, self._settings, patience=0)
        return self._nodes[address]

    def live_connection(self, slot: int) -> Connection | None:
        """Return the live connection to a slot's primary."""
        address = self._owners.get(slot)
        node = self._nodes.get(address) if address is not None else None
        return node.command_connection.live if node is not None else None

    async def connected(self, slot: int, after: Exception | None) -> Connection:
        """Return a connection to a slot's primary, in the light of what the last one said."""
        redirect = _redirect(after)
        if redirect is not None:
            return await self._redirected(after, *redirect[:2])
        if after is not None or not self._owners:
            await asyncio.wait([self._poller.poll()], timeout=self._seconds)
        if self._refusal is not None:
            raise self._refusal
        connection = await self._connected_to(self._owner(slot))
        if self._epoch < 0:  # no node has told of itself: it may be no cluster at all
            raise ConnectionLost(f"{self.address} does not tell where the slots are")
        return connection

    async def _redirected(self, error: Exception | None, word: str, address: Address) -> Connection:
        if word == "ASK":  # for this call alone
            return asking(await self._connected_to(self.node(address)))
        self.note_redirect(error)
        return await self._connected_to(self.node(address))

    def note_redirect(self, error: Exception | None) -> None:
        """Take note of an error that says that the map is out of date."""
        redirect = _redirect(error)
        if self._owners and redirect is not None and redirect[0] == "MOVED":
            self._take_over(self._owners | {redirect[2]: redirect[1]})
        self._poller.poll()

    async def _connected_to(self, node: Node) -> Connection:
        # A server that is gone must not keep anybody from asking again where the slot is.
        try:
            async with asyncio.timeout(self._seconds):
                return await node.command_connection.connected()
        except TimeoutError:
            question = tls.question_of_silence(self._several.scheme)
            raise ConnectionLost(f"{node.server.address} does not answer{question}") from None
        except ServerUnreachable as error:
            raise ConnectionLost(str(error.cause)) from None

    def _slot_connection(self, slot: int) -> SlotConnection:
        if slot not in self._slot_connections:
            self._slot_connections[slot] = SlotConnection(self, slot)
        return self._slot_connections[slot]

    def _owner(self, slot: int) -> Node:
        return self.node(self._owners.get(slot) or self._several.hosts[0])

    # The map.

    async def _refresh(self) -> None:
        refusal: ServerRefused | None = None
        async with aclosing(self._answers()) as answers:
            async for address, answer in answers:
                if isinstance(answer, ServerRefused):
                    refusal = answer
                elif answer is not None and self._is_news(answer[0]):
                    self._refusal = None
                    self._take_over(read_owners(answer[1], address[0]))
                    return
        self._note_refusal(refusal)

    async def _answers(self) -> AsyncGenerator[tuple[Address, Answer]]:
        if self._owners:
            # A frozen server must not hold this up: the next one may tell of its successor.
            for address, node in self._in_turn():
                seconds = self._seconds / (4 if node.command_connection.live else 2)
                yield address, await _answer_of(node, seconds)
            return
        # Without a map nobody finds anything, so all are asked, and the quickest is believed.
        with tasks.started(*(self._named_answer(each) for each in self._nodes)) as asking:
            for answer in asyncio.as_completed(asking):
                yield await answer

    async def _named_answer(self, address: Address) -> tuple[Address, Answer]:
        return address, await _answer_of(self._nodes[address], self._seconds)

    def _note_refusal(self, refusal: ServerRefused | None) -> None:
        # Who has a map goes on by it; without one, nobody finds anything.
        self._refusal = None if self._owners else refusal
        if self._refusal is not None and self._observer is not None:
            self._observer.on_refused(self._refusal)

    def _in_turn(self) -> list[tuple[Address, Node]]:
        # Never the same first: one that is cut off from the others would keep its own idea.
        primaries = set(self._owners.values())
        known = [item for item in self._nodes.items() if item[0] in primaries]
        turn = next(self._turns) % max(1, len(known))
        rest = [item for item in self._nodes.items() if item[0] not in primaries]
        return known[turn:] + known[:turn] + rest

    def _is_news(self, info: bytes) -> bool:
        facts = dict(line.split(":", 1) for line in info.decode().split("\r\n") if ":" in line)
        epoch = int(facts.get("cluster_current_epoch", 0))
        if self._owners and (facts.get("cluster_state") != "ok" or epoch < self._epoch):
            return False
        self._epoch = epoch
        return True

    def _take_over(self, owners: dict[int, Address]) -> None:
        if owners == self._owners or not owners:
            return
        self._owners = owners
        if self._observer is not None:
            self._observer.on_moved()
        self._leave_others(set(owners.values()))

    def _leave_others(self, primaries: set[Address]) -> None:
        for address in [each for each in self._nodes if each not in primaries]:
            node = self._nodes[address]
            if address in self._several.hosts:
                node.cut()  # it may be asked for the map again
            else:
                self._nodes.pop(address).close()


async def _answer_of(node: Node, seconds: float) -> Answer:
    """Return what a node says of itself and of the slots, and None when it says nothing in time."""
    questions = ("CLUSTER", "INFO"), ("CLUSTER", "SLOTS")
    try:
        async with asyncio.timeout(seconds):
            connection = await node.command_connection.connected()
            asked = (connection.call(*question) for question in questions)
            replies = await asyncio.gather(*asked, return_exceptions=True)
    except ServerRefused as error:
        return error
    except (OSError, TimeoutError, ServerUnreachable):
        return None
    for question, reply in zip(questions, replies, strict=True):
        if isinstance(reply, ReplyError) and not is_transient(reply):
            return refused(node.server.address, reply, question)
    info, slots = replies
    if isinstance(info, BaseException) or isinstance(slots, BaseException):
        return None
    return info, slots


def _redirect(error: Exception | None) -> tuple[str, Address, int] | None:
    """Read `MOVED <slot> <host>:<port>` and `ASK …`."""
    words: list[Reply] = str(error).split(" ") if isinstance(error, ReplyError) else []
    if len(words) < 3 or words[0] not in {"MOVED", "ASK"}:  # noqa: PLR2004
        return None
    host, _, port = words[2].rpartition(":")
    is_known = host not in {"", UNKNOWN_HOST.decode()}  # elsewhere the map tells
    return (words[0], (host, int(port)), int(words[1])) if is_known else None
