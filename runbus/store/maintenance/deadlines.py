"""Deadlines: pauses that nobody answered in time are ended, wherever their runs are."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from runbus.store.connection import scripts
from runbus.store.maintenance.occupied_tags import occupied
from runbus.store.records import deployments

if TYPE_CHECKING:
    from runbus.store.bus import Bus

PAGE = 32
"""How many pauses of a tag one call ends at most."""


async def expire_overdue(bus: Bus) -> None:
    """End the pauses whose time is over, in all tags whose primary answers."""
    keys, tags = bus.keys, await occupied(bus, bus.keys.pending)
    while tags:
        commands = [
            scripts.EXPIRE_PAUSES.command(
                (2, keys.pending(tag), keys.events(tag), keys.of_tag(tag), bus.lifetime_ms, PAGE)
            )
            for tag in tags
        ]
        replies = await bus.commands.each(*commands)
        bus.commands.raise_if_forbidden(commands, replies)
        pages = {
            tag: reply
            for tag, reply in zip(tags, replies, strict=True)
            if not isinstance(reply, Exception)
        }
        for _, *scheduled in pages.values():
            for run_id, deployment in zip(scheduled[::2], scheduled[1::2], strict=True):
                await deployments.hint(bus, deployment.decode(), UUID(run_id.decode()))
        tags = [tag for tag, (has_more, *_) in pages.items() if has_more]
