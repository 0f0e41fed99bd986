"""A node: one server of those that hold the data, and all connections that an event loop has to it.

At most three, whatever number of runs wait or send: one for commands, one for waiting, and one for
the run that is in the middle of a conversation. Each durability beyond memory that somebody asks
for has one more, which its wait holds up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from hiredis import ReplyError

from runbus.store.connection import scripts, wire_check
from runbus.store.connection.reconnecting_connection import ReconnectingConnection

if TYPE_CHECKING:
    from runbus.protocol.keys import Keys
    from runbus.settings import Settings
    from runbus.store.connection.connection import Connection
    from runbus.store.connection.reconnecting_connection import Server


class Node:
    """One server and the connections to it."""

    def __init__(
        self, server: Server, keys: Keys, settings: Settings, *, patience: float | None = None
    ) -> None:
        """`patience` is how long (seconds) to try to connect; by default, `retry_seconds`."""
        self.server = server
        self._keys = keys
        self.command_connection = ReconnectingConnection(
            server, settings, prepare=self._prepare, on_connected=scripts.load, patience=patience
        )
        self._attached: list[ReconnectingConnection] = []

    def attach(self, *connections: ReconnectingConnection) -> None:
        """End others' connections to this server together with its own."""
        self._attached += connections

    def connections(self) -> list[Connection]:
        """Return the connections that are alive."""
        return [each.live for each in self._reconnecting() if each.live is not None]

    def cut(self) -> None:
        """End the connections; whoever needs one gets a new one."""
        for connection in self.connections():
            connection.close()

    def close(self) -> None:
        """End the connections for good."""
        for connection in self._reconnecting():
            connection.close()

    def _reconnecting(self) -> list[ReconnectingConnection]:
        return [self.command_connection, *self._attached]

    async def _prepare(self, connection: Connection) -> None:
        await wire_check.check(connection, self._keys, self.server.address)
        # Of a run that cannot be: only whether it is refused matters.
        some_input = self._keys.input(UUID(int=0), "any")
        try:
            await connection.call("XREVRANGE", some_input, "+", "-", "COUNT", 1)
        except ReplyError as error:
            connection.may_read_inputs = str(error).startswith("MOVED")
        else:
            connection.may_read_inputs = True
