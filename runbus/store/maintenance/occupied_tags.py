"""Which tags have anything to look after: most are empty, and a script for each costs far more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.protocol.keys import TAGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.store.bus import Bus


async def occupied(bus: Bus, index: Callable[[str], str]) -> list[str]:
    """Return the tags in whose index (a sorted set) there is anything, of primaries that answer.

    One at least, so that who goes on learns whether it may. Raises `RunbusError` when none answers,
    and `RightMissing`.
    """
    commands = [("ZCARD", index(tag)) for tag in TAGS]
    replies = await bus.primaries.each(*commands)
    bus.primaries.raise_if_forbidden(commands, replies)
    found = [
        tag
        for tag, count in zip(TAGS, replies, strict=True)
        if count and not isinstance(count, Exception)
    ]
    return found or [TAGS[0]]
