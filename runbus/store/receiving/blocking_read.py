"""The express: a blocking read, for the one receiver that is in the middle of a conversation.

A push only says that a stream has changed; reading what came costs one more round trip. A blocking
read (XREAD BLOCK) brings the entries themselves, but it takes a connection of its own while it
waits. So there is one such connection, made when a conversation is under way, and it serves one
tail at a time. That tail need not be armed for a push meanwhile. When the blocking read ends
without entries, after a second or because its connection was lost, the tail reads and is armed
like any other; and if a push comes all the same, it reads when nothing comes this way shortly
after. What comes a second time is dropped, as the tail's cursor has moved on.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from hiredis import ReplyError

from runbus.store.connection.connection import is_transient
from runbus.store.connection.reconnecting_connection import Channel

if TYPE_CHECKING:
    from runbus.settings import Settings
    from runbus.store.receiving.stream_consumer import Tail
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
        self._reply_timeout = settings.reply_timeout_seconds
        self._block_ms = max(1, min(BLOCK_MS, int(self._reply_timeout * 500)))
        self._rests_until = 0.0
        self._clock = asyncio.get_running_loop().time

    def serves(self, tail: Tail) -> bool:
        """Whether a blocking read waits for this tail's next entries."""
        return self._serves is tail

    def offer(self, tail: Tail, poll_interval: float, timeout: float | None) -> bool:
        """Serve a tail that begins to wait, if it converses and nobody else is being served.

        Return whether what comes next is sure to come this way, or else to be read in time.
        """
        if self._serves is None and tail.conversation >= CONVERSATION:
            self._serve(tail)
        # A connection that died silently is found out when its reply is late.
        found_out = poll_interval >= self._reply_timeout
        # Once the blocking read is over, the tail reads once more.
        over = timeout is None or timeout * 1000 >= 2 * self._block_ms
        return self._serves is tail and found_out and over

    def _serve(self, tail: Tail) -> None:
        if self._clock() < self._rests_until:
            return
        link = self.channel.link
        if link is None:
            self.channel.connect()
            return
        self._serves = tail
        count, block = ("COUNT", tail.page), ("BLOCK", self._block_ms)
        command = ("XREAD", *count, *block, "STREAMS", tail.key, tail.cursor)
        link.send(command, partial(self._hear, tail, tail.cursor))

    def _hear(self, tail: Tail, cursor: bytes | str, reply: Any) -> None:
        self._serves = None
        if isinstance(reply, ReplyError) and not is_transient(reply):
            self._rest(reply)
        elif reply and not isinstance(reply, Exception):
            tail.accept(reply[tail.key], cursor)
        tail.read_if_awaited()

    def _rest(self, _: Exception) -> None:
        # Conversations go on without; a server that refuses is not asked all the time.
        self._rests_until = self._clock() + REST_SECONDS
