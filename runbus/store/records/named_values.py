"""Named values: JSON under a name of the caller's, kept until somebody deletes it.

What blocks and variables have in common. They belong to no run, so nothing here expires.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import category

from pydantic_core import from_json

from runbus import settings
from runbus.errors import InvalidArgument, NotSerializable
from runbus.protocol.entries import check_text
from runbus.protocol.values import encode
from runbus.store.bus import current_bus

if TYPE_CHECKING:
    from runbus.store.connection.reply import Reply


def check_name(name: object) -> str:
    """Return a name that a value can be stored under. Raises `InvalidArgument`."""
    text = check_text("name", name)
    if not text.strip():
        raise InvalidArgument("name", name, "it is blank")
    if any(category(character) in {"Cc", "Zl", "Zp"} for character in text):
        raise InvalidArgument("name", name, "it has control characters or line breaks")
    return str.__str__(text)  # a member of a str enum would print as its name


def to_stored(value: object) -> bytes:
    """Return a value as it is stored. Raises `NotSerializable` and `InvalidArgument`."""
    data = encode(value)
    limit = settings.current().max_input_bytes
    if len(data) > limit:
        reason = (
            f"it takes {len(data):,} bytes and one value may take {limit:,}; store where it is "
            "instead, or raise RUNBUS_MAX_INPUT_BYTES"
        )
        raise InvalidArgument("value", data, reason)
    try:
        from_json(data)
    except ValueError as error:  # deeper, or with longer integers, than is read
        raise NotSerializable(value, f"it could not be read back ({error})") from None
    return data


def from_stored(name: str, data: bytes) -> Reply:
    """Return the value that was stored. Raises `InvalidArgument` for what is not JSON."""
    try:
        return from_json(data)
    except ValueError as error:
        reason = f"what somebody stored under it is not JSON ({error})"
        raise InvalidArgument("name", name, reason) from None


async def load(key: str) -> bytes | None:
    """Return what is stored, None if nothing is."""
    return await current_bus().commands.command("GET", key)


async def save(key: str, data: bytes, *, overwrite: bool) -> bool:
    """Store, unless something else is stored already and may not be overwritten.

    Returns whether the data is stored now.
    """
    commands = current_bus().commands
    if overwrite:
        await commands.command("SET", key, data)
        return True
    before = await commands.command("SET", key, data, "NX", "GET")
    # A command whose reply was lost is repeated, and then finds what it stored itself.
    return before is None or before == data


async def remove(key: str) -> bool:
    """Delete, and return whether there was anything."""
    commands = current_bus().commands
    # Asked first, because a DEL that is repeated finds nothing: its lost reply had the answer.
    existed = await commands.command("EXISTS", key)
    await commands.command("DEL", key)
    return bool(existed)
