"""Requests: single commands and script calls, asked again until they are answered.

A lost reply leaves open whether the command was executed, so what is asked here must do no harm
when it is executed twice: reads, writes of a given value, and scripts that know their own repeat.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from hiredis import ReplyError

from runbus.errors import ServerRefused
from runbus.store.backoff import backoff
from runbus.store.link import LinkLost, is_transient, settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.settings import Settings
    from runbus.store.channel import Channel
    from runbus.store.link import Command, Link
    from runbus.store.scripts import Script


class Requests:
    """What one event loop asks one server, beside sending and receiving."""

    def __init__(self, channel: Channel, settings: Settings) -> None:
        self._channel = channel
        self._seconds = settings.retry_seconds

    async def command(self, *command: str | bytes | float) -> Any:
        """Return the reply to a command. Raises `ServerUnreachable` and `ServerRefused`."""
        return await self._repeat(lambda link: link.call(*command))

    async def script(self, script: Script, call: Command) -> Any:
        """Return the reply of a script. Raises `ServerUnreachable` and `ServerRefused`."""
        return await self._repeat(lambda link: script.call(link, call))

    async def commands(self, *commands: Command) -> list[Any]:
        """Return the replies to several commands that go out together. An error is raised."""
        return await self._repeat(partial(_send_all, commands)) if commands else []

    async def _repeat(self, ask: Callable[[Link], asyncio.Future[Any]]) -> Any:
        clock = asyncio.get_running_loop().time
        started = clock()
        cause: Exception | None = None
        for delay in backoff():
            if clock() + delay - started > self._seconds:
                break
            await asyncio.sleep(delay)
            try:
                return await ask(await self._channel.connected())
            except LinkLost as error:
                cause = error
            except ReplyError as error:
                if not is_transient(error):
                    raise ServerRefused(address=self._channel.server.address, reply=error) from None
                cause = error
                self._leave_replica(error)
        raise self._channel.unreachable(clock() - started, cause)

    def _leave_replica(self, error: Exception) -> None:
        # The server was demoted: its name may lead to the new primary by now.
        if str(error).startswith("READONLY") and self._channel.link is not None:
            self._channel.link.close()


def _send_all(commands: tuple[Command, ...], link: Link) -> asyncio.Future[Any]:
    # One future for all, as there may be one command for each of 256 tags.
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    replies: list[Any] = []

    def hear(reply: Any) -> None:
        replies.append(reply)
        if isinstance(reply, Exception):
            settle(future, reply)
        elif len(replies) == len(commands):
            settle(future, replies)

    for command in commands:
        link.send(command, hear)
    return future
