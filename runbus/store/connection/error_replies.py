"""Refusals: an error reply that will not change, as the error that a caller gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.errors import RightMissing, ServerRefused
from runbus.store.connection.hash_slots import key_of

if TYPE_CHECKING:
    from runbus.store.connection.connection import Command

# Outside of a script; inside of one on Valkey; and on Redis 7.0.
_NO_RIGHT = ("NOPERM", "ERR ACL failure in script", "ERR The user executing the script can't")


def refused(address: str, reply: Exception, command: Command) -> ServerRefused:
    """Return the error for a command that the server answered with an error."""
    if not str(reply).startswith(_NO_RIGHT):
        return ServerRefused(address=address, reply=reply)
    return RightMissing(address=address, reply=reply, right=_right(command))


def _right(command: Command) -> str:
    from runbus.store.connection import rights, scripts  # late: only who is refused needs them

    name = str(command[0])
    if name == "EVALSHA":
        script = next(each for each in scripts.ALL if each.sha == command[1])
        names = " or ".join(repr(each) for each in rights.with_script(script.sha))
        return f"{names}, for the script {script.name}"
    if name in {"CLIENT", "CLUSTER"}:
        return f"{name} {command[1]}"
    key = key_of(command)
    return name if key is None else f"{name} on {key.decode() if isinstance(key, bytes) else key}"
