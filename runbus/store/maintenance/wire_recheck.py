"""The wire's number, looked at again while everything goes on: a migration may have raised it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.protocol.wire import WIRE
from runbus.store.connection.wire_check import mismatch

if TYPE_CHECKING:
    from runbus.store.bus import Bus


async def check_again(bus: Bus) -> None:
    """Raise `WireMismatch` if the number has changed since the connections were made."""
    key = bus.keys.wire()
    found = await bus.commands.command("GET", key)
    if found is None:  # somebody emptied the server
        await bus.commands.command("SET", key, str(WIRE), "NX")
    elif found != str(WIRE).encode():
        for connection in bus.connections():
            connection.close()  # each new connection is refused
        raise mismatch(bus.topology.owner(key).server.address, found)
