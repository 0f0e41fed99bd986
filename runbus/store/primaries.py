"""Several primaries: what those say that answer, without waiting for one that is away."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

from hiredis import ReplyError

from runbus.errors import RightMissing, RunbusError, ServerUnreachable
from runbus.store.available import available
from runbus.store.connection.backoff import backoff
from runbus.store.connection.connection import ConnectionLost, is_transient
from runbus.store.connection.error_replies import refused
from runbus.store.connection.hash_slots import key_of
from runbus.store.connection.pipeline import in_order, send_each
from runbus.supervision.tasks import started

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from runbus.settings import Settings
    from runbus.store.commands import Commands
    from runbus.store.connection.connection import Command
    from runbus.store.connection.reply import Reply
    from runbus.store.topology import Topology

AWAY_SECONDS = 1.0
"""How long a primary may keep those waiting who can do without it."""
AGAIN_AWAY_SECONDS = 0.25
"""The same for one that is known to be away."""
_NOT_EXECUTED = ("MOVED", "ASK", "TRYAGAIN", "NOSCRIPT", "READONLY", "LOADING", "MASTERDOWN")
_NO_REPLY = ConnectionLost("it does not reply")
_log = logging.getLogger("runbus")
T = TypeVar("T")


class Primaries:
    """What one event loop asks of all primaries, or of one that it can do without."""

    def __init__(self, topology: Topology, commands: Commands, settings: Settings) -> None:
        self._seconds = settings.retry_seconds
        self._topology = topology
        self._commands = commands
        self._away: set[str] = set()

    async def available(self, *commands: Command) -> list[Reply]:
        """Return the replies to several commands, None for those of primaries that are away.

        A primary is waited for no longer than `AWAY_SECONDS` while others answer or were not asked.
        Raises `ServerUnreachable` when none of them all answers.
        """
        await self._find()
        groups = self._topology.spread(commands)
        if not commands or self.has_one_server:
            return await self._commands.together(*commands)
        works = (self._unless_away(tuple(commands[place] for place in group)) for group in groups)
        are_all = len(groups) == len(self._topology.primaries())
        answers = await available(works, AWAY_SECONDS, needs_one=are_all)
        for group, answer in zip(groups, answers, strict=True):
            self._note_answer(self._address_of(commands[group[0]]), is_away=answer is None)
        return in_order(len(commands), groups, answers)

    @property
    def has_one_server(self) -> bool:
        """Whether there is one primary for all, or none is known yet."""
        return len(self._topology.primaries()) <= 1

    async def _find(self) -> None:
        # Where no map is known, whatever is asked would wait for each primary, one after the other.
        clock, connector = asyncio.get_running_loop().time, self._topology.connector("")
        started = clock()
        for delay in backoff():
            await asyncio.sleep(delay)
            await self._topology.locate()
            if self._topology.primaries():
                return
            if clock() - started > self._seconds:
                raise connector.unreachable(clock() - started)

    async def soon(self, key: str, work: Callable[[], Coroutine[object, None, T]]) -> T:
        """Return what commands to a key's primary return.

        Raises `ServerUnreachable`: after `AWAY_SECONDS` where there are other primaries, with which
        who asks may go on, and sooner where this one is known to be away.
        """
        await self._find()
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

    async def _unless_away(self, commands: tuple[Command, ...]) -> list[Reply]:
        if self._address_of(commands[0]) not in self._away:
            return await self._commands.of_one_primary(commands)
        try:
            async with asyncio.timeout(AGAIN_AWAY_SECONDS):
                return await self._commands.of_one_primary(commands)
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

    async def each(self, *commands: Command) -> list[Reply]:
        """Return the reply to each of several commands that go out together, or its error.

        They are asked once: after an error it is not known whether a command was executed. Nothing
        of one primary waits for another one for longer than `AWAY_SECONDS`. Raises `RunbusError`
        when none answers.
        """
        await self._topology.locate()
        groups = self._topology.spread(commands) if commands else []
        replies: list[Reply] = [_NO_REPLY] * len(commands)
        works = (self._ask_each(commands, group, replies) for group in groups)
        with started(*works) as asked:
            if asked:
                await asyncio.wait(asked, timeout=AWAY_SECONDS if len(asked) > 1 else None)
        if replies and all(isinstance(reply, (RunbusError, ConnectionLost)) for reply in replies):
            error = replies[0]
            connector = self._topology.connector_for(commands[0])
            raise error if isinstance(error, RunbusError) else connector.unreachable(0, error)
        return replies

    def raise_if_forbidden(self, commands: Sequence[Command], replies: Sequence[Reply]) -> None:
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
        self, commands: tuple[Command, ...], group: list[int], replies: list[Reply]
    ) -> None:
        connector = self._topology.connector_for(commands[group[0]])
        try:
            connection = await connector.connected()
        except (RunbusError, ConnectionLost) as error:
            for place in group:
                replies[place] = error
            return
        answers = await send_each(connection, [commands[place] for place in group])
        for place, answer in zip(group, answers, strict=True):
            replies[place] = await self._ask_again(commands[place], answer)

    async def _ask_again(self, command: Command, answer: Reply) -> Reply:
        # Its slot has moved, or the server has forgotten the script: it finds its own way.
        if not (isinstance(answer, ReplyError) and str(answer).startswith(_NOT_EXECUTED)):
            return answer
        try:
            return await self._commands.command(*command)
        except RunbusError as error:
            return error
