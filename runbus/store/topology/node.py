"""A node: one server of those that hold the data, and all that an event loop has of it.

At most three connections, whatever number of runs wait or send: one for commands, one for
waiting, and one for the run that is in the middle of a conversation. Each durability beyond memory
that somebody asks for has one more, which its wait holds up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from hiredis import ReplyError

from runbus.store.connection import scripts, wire_check
from runbus.store.connection.reconnecting_connection import Channel
from runbus.store.receiving.tracking import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.protocol.durability import Durability
    from runbus.protocol.keys import Keys
    from runbus.settings import Settings
    from runbus.store.connection.connection import Link
    from runbus.store.topology.server import Server


class Node:
    """One server's channels and watch."""

    def __init__(
        self,
        server: Server,
        keys: Keys,
        settings: Settings,
        *,
        patience: float | None = None,
        on_redirect: Callable[[Exception], None] | None = None,
    ) -> None:
        self.server = server
        self._keys = keys
        self.commands = Channel(
            server, settings, greet=self._greet, on_link=scripts.load, patience=patience
        )
        self.watch = Watch(server, keys, settings, on_redirect)
        self._settings = settings
        self._barriers: dict[Durability, Channel] = {}

    def barrier(self, durability: Durability) -> Channel:
        """Return the channel on which to wait until something is this durable."""
        if durability not in self._barriers:
            self._barriers[durability] = Channel(self.server, self._settings, patience=0)
        return self._barriers[durability]

    def channels(self) -> tuple[Channel, ...]:
        """Return its channels, connected or not."""
        watch = self.watch
        return self.commands, watch.channel, watch.express.channel, *self._barriers.values()

    def links(self) -> list[Link]:
        """Return the connections that are alive."""
        return [channel.link for channel in self.channels() if channel.link is not None]

    def cut(self) -> None:
        """End the connections; whoever needs one gets a new one."""
        for link in self.links():
            link.close()

    def close(self) -> None:
        """End the connections for good."""
        for channel in self.channels():
            channel.close()

    async def _greet(self, link: Link) -> None:
        await wire_check.check(link, self._keys, self.server.address)
        # Of a run that cannot be: only whether it is refused matters.
        some_input = self._keys.input(UUID(int=0), "any")
        try:
            await link.call("XREVRANGE", some_input, "+", "-", "COUNT", 1)
        except ReplyError as error:
            link.may_read_inputs = str(error).startswith("MOVED")
        else:
            link.may_read_inputs = True
