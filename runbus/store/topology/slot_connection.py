"""A route: what a channel is to one server, for one slot of a cluster, wherever that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from runbus.errors import ServerUnreachable

if TYPE_CHECKING:
    from runbus.store.connection.connection import Command, Link, OnReply
    from runbus.store.topology.cluster import Cluster


class Route:
    """The way to one slot."""

    __slots__ = ("_slot", "server")

    def __init__(self, cluster: Cluster, slot: int) -> None:
        self.server = cluster
        self._slot = slot

    @property
    def link(self) -> Link | None:
        """The live connection to the primary that has the slot."""
        return self.server.owner_link(self._slot)

    async def connected(self, after: Exception | None = None) -> Link:
        """Return a connection to try, `after` a call that failed so. Raises `LinkLost`."""
        return await self.server.connected(self._slot, after)

    def unreachable(self, seconds: float, cause: Exception | None = None) -> ServerUnreachable:
        """The error for somebody who has waited this long."""
        cause = cause or ConnectionError("not connected yet")
        return ServerUnreachable(address=self.server.address, seconds=seconds, cause=cause)


class _Asking:
    """A connection to the primary that a slot is on its way to: each call asks to be let in."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.may_read_inputs = link.may_read_inputs

    def send(self, command: Command, on_reply: OnReply) -> None:
        self._link.send(("ASKING",), lambda _: None)
        self._link.send(command, on_reply)

    def call(self, *command: str | bytes | float) -> Any:
        self._link.send(("ASKING",), lambda _: None)
        return self._link.call(*command)


def asking(link: Link) -> Link:
    """Return a connection for calls that were told ASK."""
    return cast("Link", _Asking(link))
