"""Requests: single commands and script calls, asked again until they are answered.

A lost reply leaves open whether the command was executed, so what is asked here must do no harm
when it is executed twice: reads, writes of a given value, and scripts that know their own repeat.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from hiredis import ReplyError

from runbus.errors import RunbusError
from runbus.store import scripts
from runbus.store.backoff import backoff
from runbus.store.counts import counts
from runbus.store.link import LinkLost, is_transient, settle
from runbus.store.refusal import refused
from runbus.store.topology.single import Single

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from runbus.settings import Settings
    from runbus.store.channel import Channel
    from runbus.store.link import Command, Link
    from runbus.store.scripts import Script
    from runbus.store.topology import Topology
    from runbus.store.topology.route import Route


AWAY_SECONDS = 1.0
"""How long a primary may keep those waiting who can do without it."""
_NOT_EXECUTED = ("MOVED", "ASK", "TRYAGAIN", "NOSCRIPT", "READONLY", "LOADING", "MASTERDOWN")
_NO_REPLY = LinkLost("it does not reply")


class Requests:
    """What one event loop asks, beside sending and receiving."""

    def __init__(self, topology: Topology, settings: Settings) -> None:
        self._topology = topology
        self._seconds = settings.retry_seconds

    async def command(self, *command: str | bytes | float) -> Any:
        """Return the reply to a command. Raises `ServerUnreachable` and `ServerRefused`."""
        route = self._topology.route_for(command)
        return await self._repeat(route, lambda link: link.call(*command), command)

    async def script(self, script: Script, call: Command) -> Any:
        """Return the reply of a script. Raises `ServerUnreachable` and `ServerRefused`."""
        # A call begins with the number of its keys, and then the keys, which share a slot.
        route = self._topology.route(str(call[1]))
        command = ("EVALSHA", script.sha, *call[:2])
        return await self._repeat(route, lambda link: script.call(link, call), command)

    async def scripts(self, script: Script, calls: Sequence[Command]) -> list[Any]:
        """Return the replies of several calls of a script that go out together."""
        return await self.commands(*(("EVALSHA", script.sha, *call) for call in calls))

    async def time(self) -> float:
        """Return the time (seconds since 1970) by the server's clock."""
        seconds, microseconds = await self.command("TIME")
        return int(seconds) + int(microseconds) / 1e6

    async def commands(self, *commands: Command) -> list[Any]:
        """Return the replies to several commands that go out together. An error is raised."""
        groups = self._topology.spread(commands)
        if len(groups) <= 1:
            return await self._together(commands)
        parts = [tuple(commands[place] for place in group) for group in groups]
        answers = await asyncio.gather(*(self._together(part) for part in parts))
        replies: list[Any] = [None] * len(commands)
        for group, answer in zip(groups, answers, strict=True):
            for place, reply in zip(group, answer, strict=True):
                replies[place] = reply
        return replies

    async def each(self, *commands: Command) -> list[Any]:
        """Return the reply to each of several commands that go out together, or its error.

        They are asked once: after an error it is not known whether a command was executed. Nothing
        of one primary waits for another one for longer than `AWAY_SECONDS`. Raises `RunbusError`
        when none answers.
        """
        groups = self._topology.spread(commands) if commands else []
        replies: list[Any] = [_NO_REPLY] * len(commands)
        asked = [
            asyncio.ensure_future(self._ask_each(commands, group, replies)) for group in groups
        ]
        if asked:
            _, late = await asyncio.wait(asked, timeout=AWAY_SECONDS if len(asked) > 1 else None)
            for task in late:
                task.cancel()
        if replies and all(isinstance(reply, (RunbusError, LinkLost)) for reply in replies):
            error = replies[0]
            route = self._topology.route_for(commands[0])
            raise error if isinstance(error, RunbusError) else route.unreachable(0, error)
        return replies

    async def _ask_each(
        self, commands: tuple[Command, ...], group: list[int], replies: list[Any]
    ) -> None:
        route = self._topology.route_for(commands[group[0]])
        try:
            link = await route.connected()
        except (RunbusError, LinkLost) as error:
            for place in group:
                replies[place] = error
            return
        answers = await _answers(link, [commands[place] for place in group])
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
        route, cursor = self._topology.route(key), b"0"
        while True:
            command = ("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            ask = partial(_call, command)
            cursor, found = await self._repeat(route, ask, command)
            if found:
                yield found
            if cursor == b"0":
                return

    async def _together(self, commands: tuple[Command, ...]) -> list[Any]:
        if not commands:
            return []
        route = self._topology.route_for(commands[0])
        if isinstance(self._topology, Single):
            ask = partial(_send_all, commands, route.server.address)
            return await self._repeat(route, ask, commands[0])
        return await self._repeat_singly(route, commands)

    async def _repeat_singly(self, route: Channel | Route, commands: tuple[Command, ...]) -> Any:
        # A slot of the group may have moved on its own, so what failed finds its own way.
        try:
            link = await route.connected()
        except LinkLost:
            return [await self.command(*command) for command in commands]
        replies = await asyncio.gather(
            *(link.call(*command) for command in commands), return_exceptions=True
        )
        for place, reply in enumerate(replies):
            if isinstance(reply, (LinkLost, ReplyError)):
                replies[place] = await self.command(*commands[place])
        return replies

    async def _repeat(
        self, route: Channel | Route, ask: Callable[[Link], asyncio.Future[Any]], asked: Command
    ) -> Any:
        clock = asyncio.get_running_loop().time
        started = clock()
        cause: Exception | None = None
        for delay in backoff():
            if clock() + delay - started > self._seconds:
                break
            if delay:
                await asyncio.sleep(delay)
            try:
                link = await route.connected(cause)
                if scripts.is_unknown(cause):
                    scripts.load(link)
                return await ask(link)
            except LinkLost as error:
                counts.retries += 1
                cause = error
            except ReplyError as error:
                if not is_transient(error):
                    raise refused(route.server.address, error, asked) from None
                cause = error
        raise route.unreachable(clock() - started, cause)


def _call(command: Command, link: Link) -> asyncio.Future[Any]:
    return link.call(*command)


def _answers(link: Link, commands: list[Command]) -> asyncio.Future[list[Any]]:
    future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
    answers: list[Any] = []

    def finish(reply: Any) -> None:
        answers.append(reply)
        settle(future, answers)

    link.send_all(commands, answers.append, finish)
    return future


def _send_all(commands: tuple[Command, ...], address: str, link: Link) -> asyncio.Future[Any]:
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

    link.send_all(commands, replies.append, finish)
    return future


def _read_error(error: Exception, address: str, asked: Command) -> Exception:
    if isinstance(error, ReplyError) and not is_transient(error):
        return refused(address, error, asked)
    return error
