"""One node for all keys: a server at a URL, the embedded one, or a primary that Sentinel names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.store.topology.node import Node
from runbus.store.topology.poller import Lookout
from runbus.store.topology.sentinel import SentinelServer

if TYPE_CHECKING:
    from runbus.protocol.keys import Keys
    from runbus.settings import Settings
    from runbus.store.connection.connection import Command
    from runbus.store.connection.reconnecting_connection import Channel
    from runbus.store.receiving.tracking import Watch
    from runbus.store.topology.server import Server


class Single:
    """The topology of one server."""

    def __init__(self, server: Server, keys: Keys, settings: Settings) -> None:
        self._node = Node(server, keys, settings)
        self._lookout = Lookout(server.follow) if isinstance(server, SentinelServer) else None

    def route(self, _: str) -> Channel:
        """Return the way to a key."""
        return self._node.commands

    def route_for(self, _: Command) -> Channel:
        """Return the way for a command."""
        return self._node.commands

    def watch(self, _: str) -> Watch:
        """Return the watch of a stream."""
        return self._node.watch

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

    def close(self) -> None:
        """End all connections for good."""
        if self._lookout is not None:
            self._lookout.close()
        self._node.close()
