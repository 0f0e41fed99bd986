"""What servers are told without anybody waiting for it: hints, lines, read marks of ends."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from runbus.errors import RunbusError
from runbus.store.connection.connection import ConnectionLost
from runbus.store.connection.hash_slots import key_of
from runbus.store.connection.pipeline import send_all
from runbus.supervision.tasks import Tasks

if TYPE_CHECKING:
    from runbus.store.commands import Commands
    from runbus.store.connection.connection import Command
    from runbus.store.connection.connector import Connector
    from runbus.store.connection.reply import Reply
    from runbus.store.topology import Topology
    from runbus.store.topology.node import Node

CONNECT_SECONDS = 0.25
"""How long a first connection is waited for."""
MOST_UNTOLD = 1000
"""How much waits in the background for servers that are away."""
_log = logging.getLogger("runbus")


class Notifier:
    """Tells the servers of one event loop."""

    def __init__(self, topology: Topology, commands: Commands) -> None:
        self._topology = topology
        self._commands = commands
        self._closed = False
        self._arriving: set[asyncio.Future[Reply]] = set()
        self._telling = Tasks()

    async def tell(self, *commands: Command) -> None:
        """Send commands of one slot without waiting for what becomes of them.

        Where there is no connection yet, one is waited for a quarter of a second; then this goes on
        in the background. What cannot be said within `retry_seconds`, or is too much, is left
        unsaid.
        """
        connector = self._topology.connector_for(commands[0])
        if connector.live is None:
            await self._connect_soon(connector, self._topology.owner(key_of(commands[0]) or ""))
        if connector.live is None:
            self._tell_later(commands)
            return
        arriving = send_all(commands, connector.server.address, connector.live)
        self._arriving.add(arriving)
        arriving.add_done_callback(partial(self._note_told, commands))

    async def _connect_soon(self, connector: Connector, node: Node) -> None:
        if node.command_connection.trouble is not None:
            return  # it has been away already
        with suppress(RunbusError, ConnectionLost, TimeoutError):
            async with asyncio.timeout(CONNECT_SECONDS):
                await connector.connected()

    async def all_told(self) -> None:
        """Wait until what was told over connections that are alive has arrived."""
        if self._arriving:
            await asyncio.wait(self._arriving)

    def close(self) -> None:
        """Leave unsaid what could not be told."""
        self._closed = True
        self._telling.cancel()

    def _note_told(self, commands: tuple[Command, ...], arriving: asyncio.Future[Reply]) -> None:
        self._arriving.discard(arriving)
        error = None if arriving.cancelled() else arriving.exception()
        if isinstance(error, RunbusError):
            _log.debug("not told: %s", error)
        elif error is not None:
            self._tell_later(commands)

    def _tell_later(self, commands: tuple[Command, ...]) -> None:
        if self._closed or len(self._telling) >= MOST_UNTOLD:
            _log.debug("not told: the loop ends, or too much waits already")
            return
        self._telling.start(self._tell(commands))

    async def _tell(self, commands: tuple[Command, ...]) -> None:
        try:
            await self._commands.together(*commands)
        except RunbusError as error:
            _log.debug("not told: %s", error)
