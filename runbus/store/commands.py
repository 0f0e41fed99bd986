"""Commands and calls of scripts, asked again until they are answered.

A lost reply leaves open whether the command was executed, so what is asked here must do no harm
when it is executed twice: reads, writes of a given value, and scripts that know their own repeat.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from hiredis import ReplyError

from runbus.store.connection import scripts
from runbus.store.connection.backoff import backoff
from runbus.store.connection.connection import ConnectionLost, is_transient
from runbus.store.connection.counters import counts
from runbus.store.connection.error_replies import refused
from runbus.store.connection.pipeline import in_order, send_all

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from runbus.settings import Settings
    from runbus.store.connection.connection import Command, Connection
    from runbus.store.connection.connector import Connector
    from runbus.store.connection.reply import Reply
    from runbus.store.connection.scripts import Script
    from runbus.store.topology import Topology


class Commands:
    """What one event loop asks, beside sending and receiving."""

    def __init__(self, topology: Topology, settings: Settings) -> None:
        self._topology = topology
        self._seconds = settings.retry_seconds

    async def command(self, *command: str | bytes | float) -> Reply:
        """Return the reply to a command. Raises `ServerUnreachable` and `ServerRefused`."""
        connector = self._topology.connector_for(command)
        return await self._repeat(connector, lambda connection: connection.call(*command), command)

    async def script(self, script: Script, call: Command) -> Reply:
        """Return the reply of a script. Raises `ServerUnreachable` and `ServerRefused`."""
        # A call begins with the number of its keys, and then the keys, which share a slot.
        connector = self._topology.connector(str(call[1]))
        command = ("EVALSHA", script.sha, *call[:2])
        return await self._repeat(
            connector, lambda connection: script.call(connection, call), command
        )

    async def time(self, key: str = "") -> float:
        """Return the time (seconds since 1970) by the clock of the server that has a key."""
        connector = self._topology.connector(key)
        seconds, microseconds = await self._repeat(
            connector, lambda connection: connection.call("TIME"), ("TIME",)
        )
        return int(seconds) + int(microseconds) / 1e6

    async def together(self, *commands: Command) -> list[Reply]:
        """Return the replies to several commands that go out together. An error is raised."""
        groups = self._topology.spread(commands)
        if len(groups) <= 1:
            return await self.of_one_primary(commands)
        parts = [tuple(commands[place] for place in group) for group in groups]
        answers = await asyncio.gather(*(self.of_one_primary(part) for part in parts))
        return in_order(len(commands), groups, answers)

    async def scan(self, key: str, pattern: str) -> AsyncGenerator[list[bytes]]:
        """Yield the keys of a pattern, some at a time, at the server that has a key."""
        connector, cursor = self._topology.connector(key), b"0"
        while True:
            command = ("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            ask = partial(_call, command)
            cursor, found = await self._repeat(connector, ask, command)
            if found:
                yield found
            if cursor == b"0":
                return

    async def of_one_primary(self, commands: tuple[Command, ...]) -> list[Reply]:
        """Return the replies to commands whose keys one primary has, as `together` does."""
        if not commands:
            return []
        connector = self._topology.connector_for(commands[0])
        if not self._topology.has_slots:
            ask = partial(send_all, commands, connector.server.address)
            return await self._repeat(connector, ask, commands[0])
        return await self._repeat_singly(connector, commands)

    async def _repeat_singly(self, connector: Connector, commands: tuple[Command, ...]) -> Reply:
        # A slot of the group may have moved on its own, so what failed finds its own way.
        try:
            connection = await connector.connected()
        except ConnectionLost:
            return [await self.command(*command) for command in commands]
        replies = await asyncio.gather(
            *(connection.call(*command) for command in commands), return_exceptions=True
        )
        for place, reply in enumerate(replies):
            if isinstance(reply, (ConnectionLost, ReplyError)):
                replies[place] = await self.command(*commands[place])
        return replies

    async def _repeat(
        self,
        connector: Connector,
        ask: Callable[[Connection], asyncio.Future[Reply]],
        asked: Command,
    ) -> Reply:
        cause: Exception | None = None
        if connector.live is not None:
            try:
                return await ask(connector.live)
            except (ConnectionLost, ReplyError) as error:
                cause = _passing(error, connector.server.address, asked)
        clock = asyncio.get_running_loop().time
        started = clock()
        for delay in backoff():
            if clock() + delay - started > self._seconds:
                break
            if delay:
                await asyncio.sleep(delay)
            try:
                connection = await connector.connected(cause)
                if scripts.is_unknown(cause):
                    scripts.load(connection)
                return await ask(connection)
            except (ConnectionLost, ReplyError) as error:
                cause = _passing(error, connector.server.address, asked)
        raise connector.unreachable(clock() - started, cause)


def _passing(error: ConnectionLost | ReplyError, address: str, asked: Command) -> Exception:
    """Return an error that may pass. Raises what stands as it is."""
    if isinstance(error, ConnectionLost):
        counts.retries += 1
    elif not is_transient(error):
        raise refused(address, error, asked) from None
    return error


def _call(command: Command, connection: Connection) -> asyncio.Future[Reply]:
    return connection.call(*command)
