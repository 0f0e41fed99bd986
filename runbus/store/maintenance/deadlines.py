"""Deadlines: pauses that nobody answered in time are ended, wherever their runs are."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from runbus.store.connection import script_calls, scripts
from runbus.store.maintenance.occupied_tags import occupied
from runbus.store.records import deployments

if TYPE_CHECKING:
    from runbus.store.bus import Bus
    from runbus.store.connection.connection import Command

PAGE = 32
"""How many pauses of a tag one call ends at most."""


async def expire_overdue(bus: Bus) -> None:
    """End the pauses whose time is over, in all tags whose primary answers."""
    tags = await occupied(bus, bus.keys.pending)
    while tags:
        commands = [_expire(bus, tag) for tag in tags]
        replies = await bus.primaries.each(*commands)
        bus.primaries.raise_if_forbidden(commands, replies)
        pages = {
            tag: reply
            for tag, reply in zip(tags, replies, strict=True)
            if not isinstance(reply, Exception)
        }
        for _, *scheduled in pages.values():
            for run_id, deployment in zip(scheduled[::2], scheduled[1::2], strict=True):
                await deployments.hint(bus, deployment.decode(), UUID(run_id.decode()))
        tags = [tag for tag, (has_more, *_) in pages.items() if has_more]


def _expire(bus: Bus, tag: str) -> Command:
    call = script_calls.expire_pauses(
        pending=bus.keys.pending(tag),
        events=bus.keys.events(tag),
        tag_base=bus.keys.of_tag(tag),
        lifetime_ms=bus.lifetime_ms,
        count=PAGE,
    )
    return scripts.EXPIRE_PAUSES.command(call)
