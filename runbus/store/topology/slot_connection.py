"""The connection to whichever primary has a slot, at each call anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from runbus.errors import ServerUnreachable

if TYPE_CHECKING:
    from runbus.store.connection.connection import Command, Connection, OnReply
    from runbus.store.connection.reply import Reply


class Slots(Protocol):
    """The slots of a cluster, as far as one of them needs to know."""

    @property
    def address(self) -> str:
        """How a person would name the cluster."""
        ...

    def live_connection(self, slot: int) -> Connection | None:
        """Return the live connection to a slot's primary."""
        ...

    async def connected(self, slot: int, after: Exception | None) -> Connection:
        """Return a connection to a slot's primary, in the light of what the last one said."""
        ...


class SlotConnection:
    """The connector of one slot."""

    __slots__ = ("_slot", "server")

    def __init__(self, cluster: Slots, slot: int) -> None:
        self.server = cluster
        self._slot = slot

    @property
    def live(self) -> Connection | None:
        """The live connection to the primary that has the slot."""
        return self.server.live_connection(self._slot)

    async def connected(self, after: Exception | None = None) -> Connection:
        """Return a connection to try, `after` a call that failed so. Raises `ConnectionLost`."""
        return await self.server.connected(self._slot, after)

    def unreachable(self, seconds: float, cause: Exception | None = None) -> ServerUnreachable:
        """The error for somebody who has waited this long."""
        cause = cause or ConnectionError("not connected yet")
        return ServerUnreachable(address=self.server.address, seconds=seconds, cause=cause)


class _Asking:
    """A connection to the primary that a slot is on its way to: each call asks to be let in."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.may_read_inputs = connection.may_read_inputs

    def send(self, command: Command, on_reply: OnReply) -> None:
        self._connection.send(("ASKING",), lambda _: None)
        self._connection.send(command, on_reply)

    def call(self, *command: str | bytes | float) -> Reply:
        self._connection.send(("ASKING",), lambda _: None)
        return self._connection.call(*command)


def asking(connection: Connection) -> Connection:
    """Return a connection for calls that were told ASK."""
    return cast("Connection", _Asking(connection))
