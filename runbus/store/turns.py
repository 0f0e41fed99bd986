"""Turns: what one of many processes does for all of them, once in a while.

Whoever finds that a duty's turn has not been taken for some time takes it. So the server is asked
no more often by a hundred workers than by one, and none of them need be told how many there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runbus.store.bus import Bus

OVERLAP = 0.9
"""A turn is over a little early, so that a lone process that comes regularly gets each of them."""


async def take(bus: Bus, duty: str, seconds: float) -> bool:
    """Take the turn of a duty, which comes round once in so many seconds; False when it is taken.

    A turn whose reply was lost is nobody's, and the next one follows.
    """
    key, lifetime_ms = bus.keys.turn(duty), max(1, int(seconds * OVERLAP * 1000))
    reply, _ = await bus.requests.commands(
        ("SET", key, "1", "NX", "PX", lifetime_ms),
        # Where the server's clock was set back, it would be taken for all that time.
        ("PEXPIRE", key, lifetime_ms, "LT"),
    )
    return reply is not None
