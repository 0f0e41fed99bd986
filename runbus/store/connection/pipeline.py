"""Pipelines: several commands that go out in one write, with one future for all their replies.

There may be one command for each of 256 tags, and a future for each would cost more than they do.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hiredis import ReplyError

from runbus.store.connection.connection import is_transient, settle
from runbus.store.connection.error_replies import refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbus.store.connection.connection import Command, Connection
    from runbus.store.connection.reply import Reply


def send_all(
    commands: tuple[Command, ...], address: str, connection: Connection
) -> asyncio.Future[Reply]:
    """Send commands; the future has the replies to all of them, or the error of the first."""
    future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    replies: list[Reply] = []

    def finish(reply: Reply) -> None:
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


def send_each(connection: Connection, commands: list[Command]) -> asyncio.Future[list[Reply]]:
    """Send commands; the future has the reply to each of them, or its error."""
    future: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
    answers: list[Reply] = []

    def finish(reply: Reply) -> None:
        answers.append(reply)
        settle(future, answers)

    connection.send_all(commands, answers.append, finish)
    return future


def in_order(
    count: int, groups: Sequence[list[int]], answers: Sequence[Sequence[Reply] | None]
) -> list[Reply]:
    """Put the replies to groups of commands in the commands' order, None for a group without."""
    replies: list[Reply] = [None] * count
    for group, answer in zip(groups, answers, strict=True):
        for place, reply in zip(group, answer or (), strict=answer is not None):
            replies[place] = reply
    return replies
