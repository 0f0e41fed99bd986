"""The wire's number on the server: checked on each new connection and with each renewal."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hiredis import ReplyError

from runbus.errors import WireMismatch
from runbus.protocol.keys import TAGS
from runbus.protocol.wire import WIRE

if TYPE_CHECKING:
    from runbus.protocol.keys import Keys
    from runbus.store.bus import Bus
    from runbus.store.connection.connection import Link


async def check(link: Link, keys: Keys, address: str) -> None:
    """Raise `WireMismatch` unless the server's number is this version's.

    A server that has nothing of runbus yet is given it. In a cluster, one primary knows; and a user
    who may not look is told by what does not work.
    """
    found = await _ask(link, "GET", keys.wire())
    if isinstance(found, ReplyError):
        return
    if found is None:
        if await _has_older(link, keys):
            raise WireMismatch(address=address, found=1, spoken=WIRE)
        await _ask(link, "SET", keys.wire(), str(WIRE), "NX")
    elif found != str(WIRE).encode():
        raise WireMismatch(address=address, found=_number(found), spoken=WIRE)


async def check_again(bus: Bus) -> None:
    """Raise `WireMismatch` if the number has changed while everything went on."""
    key = bus.keys.wire()
    found = await bus.requests.command("GET", key)
    if found is None:  # somebody emptied the server
        await bus.requests.command("SET", key, str(WIRE), "NX")
    elif found != str(WIRE).encode():
        for link in bus.links():
            link.close()  # each new connection is refused
        address = bus.topology.owner(key).server.address
        raise WireMismatch(address=address, found=_number(found), spoken=WIRE)


async def _has_older(link: Link, keys: Keys) -> bool:
    # The first version did not store its number.
    asked = [link.call("EXISTS", keys.runs(tag)) for tag in TAGS]
    found = False
    for reply in asked:
        with suppress(ReplyError):  # another primary's, or not for this user
            found = bool(await reply) or found
    return found


async def _ask(link: Link, *command: str) -> Any:
    try:
        return await link.call(*command)
    except ReplyError as error:
        return error


def _number(found: bytes) -> int | str:
    return int(found) if found.isdigit() else found.decode(errors="replace")
