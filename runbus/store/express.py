"""The express: a blocking read, for the one receiver that is in the middle of a conversation.

A push only says that a stream has changed; reading what came costs one more round trip. A blocking
read (XREAD BLOCK) brings the entries themselves, but it takes a connection of its own while it
waits. So there is one such connection, made when a conversation is under way, and it serves one
tail at a time. Nothing depends on it: the tail is watched like any other, and if the entries do
not come this way shortly after the push, it reads them. Whichever comes second is dropped, as the
tail's cursor has moved on.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from runbus.store.channel import Channel

if TYPE_CHECKING:
    from runbus.errors import RunbusError
    from runbus.settings import Settings
    from runbus.store.tail import Tail
    from runbus.store.topology.server import Server

# A receiver that stops waiting holds the connection no longer than this.
BLOCK_MS = 1000
REST_SECONDS = 60
# Who has received so many inputs one by one is taken to be in a conversation.
CONVERSATION = 3


class Express:
    """One event loop's connection for blocking reads."""

    def __init__(self, server: Server, settings: Settings) -> None:
        self.channel = Channel(server, settings, on_failure=self._rest)
        self._serves: Tail | None = None
        self._block_ms = max(1, min(BLOCK_MS, int(settings.reply_timeout_seconds * 500)))
        self._rests_until = 0.0
        self._clock = asyncio.get_running_loop().time

    def serves(self, tail: Tail) -> bool:
        """Whether a blocking read waits for this tail's next entries."""
        return self._serves is tail

    def offer(self, tail: Tail) -> None:
        """Serve a tail that begins to wait, if it converses and nobody else is being served."""
        if self._serves is not None or tail.conversation < CONVERSATION:
            return
        link = self.channel.link
        if link is None:
            if self._clock() >= self._rests_until:
                self.channel.connect()
            return
        self._serves = tail
        command = (
            "XREAD",
            "COUNT",
            tail.page,
            "BLOCK",
            self._block_ms,
            "STREAMS",
            tail.key,
            tail.cursor,
        )
        link.send(command, partial(self._hear, tail, tail.cursor))

    def _hear(self, tail: Tail, cursor: bytes | str, reply: Any) -> None:
        self._serves = None
        if reply and not isinstance(reply, Exception):
            tail.accept(reply[tail.key], cursor)

    def _rest(self, _: RunbusError) -> None:
        # Conversations go on without; a server that refuses is not asked all the time.
        self._rests_until = self._clock() + REST_SECONDS
