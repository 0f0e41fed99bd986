"""Commands and calls of scripts, asked again until they are answered.

A lost reply leaves open whether the command was executed, so what is asked here must do no harm
when it is executed twice: reads, writes of a given value, and scripts that know their own repeat.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from hiredis import ReplyError

from runbus.errors import RightMissing, RunbusError, ServerUnreachable
from runbus.store.available import available
from runbus.store.connection import scripts
from runbus.store.connection.backoff import backoff
from runbus.store.connection.connection import ConnectionLost, is_transient, settle
from runbus.store.connection.counters import counts
from runbus.store.connection.error_replies import refused
from runbus.store.connection.hash_slots import key_of
from runbus.supervision.tasks import Tasks, started

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence

    from runbus.settings import Settings
    from runbus.store.connection.connection import Command, Connection
    from runbus.store.connection.connector import Connector
    from runbus.store.connection.scripts import Script
    from runbus.store.topology import Topology
    from runbus.store.topology.node import Node

AWAY_SECONDS = 1.0
"""How long a primary may keep those waiting who can do without it."""
AGAIN_AWAY_SECONDS = 0.25
"""The same for one that is known to be away, and for a first connection to tell it something."""
MOST_UNTOLD = 1000
"""How much waits in the background for a server that is away."""

_log = logging.getLogger("runbus")
T = TypeVar("T")

_NOT_EXECUTED = ("MOVED", "ASK", "TRYAGAIN", "NOSCRIPT", "READONLY", "LOADING", "MASTERDOWN")
_NO_REPLY = ConnectionLost("it does not reply")


class Commands:
    """What one event loop asks, beside sending and receiving."""

    def __init__(self, topology: Topology, settings: Settings) -> None:
        self._topology = topology
        self._seconds = settings.retry_seconds
        self._closed = False
        self._away: set[str] = set()
        self._arriving: set[asyncio.Future[Any]] = set()
        self._telling = Tasks()

    async def command(self, *command: str | bytes | float) -> Any:
        """Return the reply to a command. Raises `ServerUnreachable` and `ServerRefused`."""
        connector = self._topology.connector_for(command)
        return await self._repeat(connector, lambda connection: connection.call(*command), command)

    async def script(self, script: Script, call: Command) -> Any:
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
        arriving = _send_all(commands, connector.server.address, connector.live)
        self._arriving.add(arriving)
        arriving.add_done_callback(partial(self._note_told, commands))

    async def _connect_soon(self, connector: Connector, node: Node) -> None:
        if node.command_connection.trouble is not None:
            return  # it has been away already
        with suppress(RunbusError, ConnectionLost, TimeoutError):
            async with asyncio.timeout(AGAIN_AWAY_SECONDS):
                await connector.connected()

    async def all_told(self) -> None:
        """Wait until what was told over connections that are alive has arrived."""
        if self._arriving:
            await asyncio.wait(self._arriving)

    def close(self) -> None:
        """Leave unsaid what could not be told."""
        self._closed = True
        self._telling.cancel()

    def _note_told(self, commands: tuple[Command, ...], arriving: asyncio.Future[Any]) -> None:
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
            await self.together(*commands)
        except RunbusError as error:
            _log.debug("not told: %s", error)

    async def together(self, *commands: Command) -> list[Any]:
        """Return the replies to several commands that go out together. An error is raised."""
        groups = self._topology.spread(commands)
        if len(groups) <= 1:
            return await self._of_one_primary(commands)
        parts = [tuple(commands[place] for place in group) for group in groups]
        answers = await asyncio.gather(*(self._of_one_primary(part) for part in parts))
        return _in_order(len(commands), groups, answers)

    async def each(self, *commands: Command) -> list[Any]:
        """Return the reply to each of several commands that go out together, or its error.

        They are asked once: after an error it is not known whether a command was executed. Nothing
        of one primary waits for another one for longer than `AWAY_SECONDS`. Raises `RunbusError`
        when none answers.
        """
        await self._topology.locate()
        groups = self._topology.spread(commands) if commands else []
        replies: list[Any] = [_NO_REPLY] * len(commands)
        works = (self._ask_each(commands, group, replies) for group in groups)
        with started(*works) as asked:
            if asked:
                await asyncio.wait(asked, timeout=AWAY_SECONDS if len(asked) > 1 else None)
        if replies and all(isinstance(reply, (RunbusError, ConnectionLost)) for reply in replies):
            error = replies[0]
            connector = self._topology.connector_for(commands[0])
            raise error if isinstance(error, RunbusError) else connector.unreachable(0, error)
        return replies

    def raise_if_forbidden(self, commands: Sequence[Command], replies: Sequence[Any]) -> None:
        """Raise `RightMissing` if this user may not do what one of `each` of these commands does.

        That will not pass, so it must not look as if all were well.
        """
        for command, reply in zip(commands, replies, strict=True):
            error = reply
            if isinstance(reply, ReplyError) and not is_transient(reply):
                error = refused(self._address_of(command), reply, command)
            if isinstance(error, RightMissing):
                raise error

    async def _ask_each(
        self, commands: tuple[Command, ...], group: list[int], replies: list[Any]
    ) -> None:
        connector = self._topology.connector_for(commands[group[0]])
        try:
            connection = await connector.connected()
        except (RunbusError, ConnectionLost) as error:
            for place in group:
                replies[place] = error
            return
        answers = await _answers(connection, [commands[place] for place in group])
        for place, answer in zip(group, answers, strict=True):
            replies[place] = await self._ask_again(commands[place], answer)

    async def _ask_again(self, command: Command, answer: Any) -> Any:
        # Its slot has moved, or the server has forgotten the script: it finds its own way.
        if not (isinstance(answer, ReplyError) and str(answer).startswith(_NOT_EXECUTED)):
            return answer
        try:
            return await self.command(*command)
        except RunbusError as error:
            return error

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

    async def available(self, *commands: Command) -> list[Any]:
        """Return the replies to several commands, None for those of primaries that are away.

        A primary is waited for no longer than `AWAY_SECONDS` while others answer or were not asked.
        Raises `ServerUnreachable` when none of them all answers.
        """
        await self._topology.locate()
        groups = self._topology.spread(commands)
        if not commands or self.has_one_server:
            return await self.together(*commands)
        works = (self._unless_away(tuple(commands[place] for place in group)) for group in groups)
        are_all = len(groups) == len(self._topology.primaries())
        answers = await available(works, AWAY_SECONDS, needs_one=are_all)
        for group, answer in zip(groups, answers, strict=True):
            self._note_answer(self._address_of(commands[group[0]]), is_away=answer is None)
        return _in_order(len(commands), groups, answers)

    @property
    def has_one_server(self) -> bool:
        """Whether there is one primary for all, or none is known yet."""
        return len(self._topology.primaries()) <= 1

    async def soon(self, key: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what commands to a key's primary return.

        Raises `ServerUnreachable`: after `AWAY_SECONDS` where there are other primaries, with which
        who asks may go on, and sooner where this one is known to be away.
        """
        await self._topology.locate()
        if self.has_one_server:
            return await work()
        address = self._topology.owner(key).server.address
        seconds = AGAIN_AWAY_SECONDS if address in self._away else AWAY_SECONDS
        try:
            async with asyncio.timeout(seconds):
                found = await work()
        except TimeoutError:
            self._note_answer(address, is_away=True)
            cause = ConnectionError("away")
            raise ServerUnreachable(address=address, seconds=seconds, cause=cause) from None
        self._note_answer(address, is_away=False)
        return found

    def away(self) -> list[str]:
        """Return the addresses of the primaries without which `available` has replied lately."""
        return sorted(self._away & {each.server.address for each in self._topology.primaries()})

    async def _unless_away(self, commands: tuple[Command, ...]) -> list[Any]:
        if self._address_of(commands[0]) not in self._away:
            return await self._of_one_primary(commands)
        try:
            async with asyncio.timeout(AGAIN_AWAY_SECONDS):
                return await self._of_one_primary(commands)
        except TimeoutError:
            raise self._topology.connector_for(commands[0]).unreachable(
                AGAIN_AWAY_SECONDS
            ) from None

    def _address_of(self, command: Command) -> str:
        return self._topology.owner(key_of(command) or "").server.address

    def _note_answer(self, address: str, *, is_away: bool) -> None:
        if not is_away:
            self._away.discard(address)
        elif address not in self._away:
            self._away.add(address)
            _log.warning("%s does not answer: lists are without what it has", address)

    async def _of_one_primary(self, commands: tuple[Command, ...]) -> list[Any]:
        if not commands:
            return []
        connector = self._topology.connector_for(commands[0])
        if not self._topology.has_slots:
            ask = partial(_send_all, commands, connector.server.address)
            return await self._repeat(connector, ask, commands[0])
        return await self._repeat_singly(connector, commands)

    async def _repeat_singly(self, connector: Connector, commands: tuple[Command, ...]) -> Any:
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
        self, connector: Connector, ask: Callable[[Connection], asyncio.Future[Any]], asked: Command
    ) -> Any:
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


def _in_order(
    count: int, groups: Sequence[list[int]], answers: Sequence[Sequence[Any] | None]
) -> list[Any]:
    """Put the replies to groups of commands in the commands' order, None for a group without."""
    replies: list[Any] = [None] * count
    for group, answer in zip(groups, answers, strict=True):
        for place, reply in zip(group, answer or (), strict=answer is not None):
            replies[place] = reply
    return replies


def _call(command: Command, connection: Connection) -> asyncio.Future[Any]:
    return connection.call(*command)


def _answers(connection: Connection, commands: list[Command]) -> asyncio.Future[list[Any]]:
    future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
    answers: list[Any] = []

    def finish(reply: Any) -> None:
        answers.append(reply)
        settle(future, answers)

    connection.send_all(commands, answers.append, finish)
    return future


def _send_all(
    commands: tuple[Command, ...], address: str, connection: Connection
) -> asyncio.Future[Any]:
    # One future for all, as there may be one command for each of 256 tags.
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    replies: list[Any] = []

    def finish(reply: Any) -> None:
        replies.append(reply)
        place = next((at for at, each in enumerate(replies) if isinstance(each, Exception)), None)
        if place is None:
            settle(future, replies)
        else:
            settle(future, _read_error(replies[place], address, commands[place]))

    connection.send_all(commands, replies.append, finish)
    return future


def _read_error(error: Exception, address: str, asked: Command) -> Exception:
    if isinstance(error, ReplyError) and not is_transient(error):
        return refused(address, error, asked)
    return error
