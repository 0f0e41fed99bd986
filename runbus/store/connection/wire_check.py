"""The wire's number on the server: checked on each new connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hiredis import ReplyError

from runbus.errors import WireMismatch
from runbus.protocol.keys import TAGS
from runbus.protocol.wire import WIRE

if TYPE_CHECKING:
    from runbus.protocol.keys import Keys
    from runbus.store.connection.connection import Connection
    from runbus.store.connection.reply import Reply


_found_good: set[tuple[str, str]] = set()
"""Where this process has found its own number: what has none there by now was emptied meanwhile."""


async def check(connection: Connection, keys: Keys, address: str) -> None:
    """Raise `WireMismatch` unless the server's number is this version's.

    A server that has nothing of runbus yet is given it. In a cluster, one primary knows; and a user
    who may not look is told by what does not work.
    """
    found = await _ask(connection, "GET", keys.wire())
    if isinstance(found, ReplyError):
        return
    place = (address, keys.prefix)
    if found is None:
        if place not in _found_good and await _has_older(connection, keys):
            raise WireMismatch(address=address, found=1, spoken=WIRE)
        await _ask(connection, "SET", keys.wire(), str(WIRE), "NX")
    elif found != str(WIRE).encode():
        raise mismatch(address, found)
    _found_good.add(place)


def mismatch(address: str, found: bytes) -> WireMismatch:
    """The error for a server that has another number."""
    number = int(found) if found.isdigit() else found.decode(errors="replace")
    return WireMismatch(address=address, found=number, spoken=WIRE)


async def _has_older(connection: Connection, keys: Keys) -> bool:
    # The first version did not store its number.
    asked = (connection.call("EXISTS", keys.runs(tag)) for tag in TAGS)
    replies: list[Reply] = await asyncio.gather(*asked, return_exceptions=True)
    for reply in replies:
        # One tag may be another primary's, or not for this user.
        if isinstance(reply, Exception) and not isinstance(reply, ReplyError):
            raise reply
    return 1 in replies


async def _ask(connection: Connection, *command: str) -> Reply:
    try:
        return await connection.call(*command)
    except ReplyError as error:
        return error
