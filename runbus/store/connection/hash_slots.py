"""Hash slots: which of a cluster's 16,384 slots a key is in, and who has which."""

from __future__ import annotations

from binascii import crc_hqx
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runbus.store.connection.connection import Command
    from runbus.store.connection.reply import Reply

SLOTS = 16384
UNKNOWN_HOST = b"?"  # of a node that was not given the host name that its cluster prefers
Address = tuple[str, int]

_KEYLESS = {"TIME", "INFO", "PING", "CLUSTER", "CONFIG", "ACL", "CLIENT", "ROLE"}
_KEY_AFTER_SUBCOMMAND = {"XINFO", "MEMORY", "OBJECT"}


def hash_tag(key: str) -> str:
    """Return the part of a key that decides on its slot."""
    _, opened, rest = key.partition("{")
    tag, closed, _ = rest.partition("}")
    return tag if opened and closed and tag else key


@lru_cache(maxsize=4096)
def slot_of_tag(tag: str) -> int:
    """Return the slot of all keys with this hash tag."""
    return crc_hqx(tag.encode(), 0) % SLOTS  # CRC16/XMODEM


def slot_of(key: str | bytes) -> int:
    """Return the slot of a key."""
    return slot_of_tag(hash_tag(key if isinstance(key, str) else key.decode()))


def key_of(command: Command) -> str | bytes | None:
    """Return the first key of a command, None when it has none."""
    name = str(command[0]).upper()
    if name in _KEYLESS:
        return None
    if name in _KEY_AFTER_SUBCOMMAND:
        position = 2
    elif name == "EVALSHA":
        position = 3
    elif name in {"XREAD", "XREADGROUP"}:
        position = [str(word).upper() for word in command].index("STREAMS") + 1
    else:
        position = 1
    key = command[position]
    return key if isinstance(key, (str, bytes)) else str(key)


def read_owners(reply: list[Reply], asked: str) -> dict[int, Address]:
    """Read the reply to CLUSTER SLOTS: slot → its primary. `asked` is the host that replied."""
    owners: dict[int, Address] = {}
    for first, last, primary, *_ in reply:
        address = (_host_of(primary) or asked, int(primary[1]))
        owners.update(dict.fromkeys(range(first, last + 1), address))
    return owners


def _host_of(node: list[Reply]) -> str:
    """Return a node's preferred endpoint, else its IP; empty for the host that replied."""
    if node[0] != UNKNOWN_HOST:
        return (node[0] or b"").decode()
    _, _, _, *metadata = node
    known: dict[bytes, bytes] = metadata[0] if metadata else {}
    return known.get(b"ip", b"").decode()
