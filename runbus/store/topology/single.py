"""One node for all keys: a server at a URL, the embedded one, or a primary that Sentinel names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.store.topology.node import Node
from runbus.store.topology.poller import Poller

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from runbus.protocol.keys import Keys
    from runbus.settings import Settings
    from runbus.store.connection.connection import Command
    from runbus.store.connection.reconnecting_connection import ReconnectingConnection, Server


class Single:
    """The topology of one server."""

    has_slots = False
    """Whether keys move from node to node one slot at a time."""

    def __init__(
        self,
        server: Server,
        keys: Keys,
        settings: Settings,
        follow: Callable[[], Coroutine[None, None, None]] | None = None,
    ) -> None:
        """`follow` looks twice a second whether it is another server by now."""
        self._node = Node(server, keys, settings)
        self._poller = None if follow is None else Poller(follow)

    def connector(self, _: str) -> ReconnectingConnection:
        """Return the connector of a key."""
        return self._node.command_connection

    def connector_for(self, _: Command) -> ReconnectingConnection:
        """Return the connector for a command."""
        return self._node.command_connection

    def owner(self, _: str | bytes) -> Node:
        """Return the node that has a key."""
        return self._node

    def spread(self, commands: tuple[Command, ...]) -> list[list[int]]:
        """Put commands together that can go out together, by their places."""
        return [list(range(len(commands)))]

    def nodes(self) -> list[Node]:
        """Return all nodes."""
        return [self._node]

    async def locate(self) -> None:
        """Do nothing: where the server is stands in the settings."""

    def primaries(self) -> list[Node]:
        """Return the nodes that have keys."""
        return [self._node]

    def observe(self, _: object) -> None:
        """Do nothing: no key ever moves to another node."""

    def note_redirect(self, _: Exception | None) -> None:
        """Do nothing: there is no other node."""

    def close(self) -> None:
        """End all connections for good."""
        if self._poller is not None:
            self._poller.close()
        self._node.close()
