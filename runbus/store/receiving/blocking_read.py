"""The blocking read, for the one receiver that is in the middle of a conversation.

A push only says that a stream has changed; reading what came costs one more round trip. A blocking
read (XREAD BLOCK) brings the entries themselves, but it takes a connection of its own while it
waits. So there is one such connection, made when a conversation is under way, and it serves one
stream at a time. That need not be armed for a push meanwhile. When the blocking read ends
without entries, after a second or because its connection was lost, the stream is read and armed
like any other; and if a push comes all the same, it is read when nothing comes this way shortly
after. What comes a second time is dropped, as the cursor has moved on.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from hiredis import ReplyError

from runbus.store.connection.connection import is_transient
from runbus.store.connection.reconnecting_connection import ReconnectingConnection
from runbus.store.receiving.read_state import Event

if TYPE_CHECKING:
    from runbus.settings import Settings
    from runbus.store.connection.reconnecting_connection import Server
    from runbus.store.receiving.position import Position, Read

# A receiver that stops waiting holds the connection no longer than this.
BLOCK_MS = 1000
REST_SECONDS = 60


class Conversing(Protocol):
    """A stream consumer, as far as it is known here."""

    @property
    def position(self) -> Position:
        """Where it is in its stream."""
        ...

    def accept(self, read: Read, reply: Any, /) -> None:
        """Take entries that were read, if they are news."""
        ...

    def handle(self, event: Event, /) -> None:
        """Do what is to be done after an event."""
        ...


class BlockingRead:
    """One event loop's connection for blocking reads."""

    def __init__(self, server: Server, settings: Settings) -> None:
        self.connection = ReconnectingConnection(server, settings, on_failure=self._rest)
        self._serves: Conversing | None = None
        self._reply_timeout = settings.reply_timeout_seconds
        self._block_ms = max(1, min(BLOCK_MS, int(self._reply_timeout * 500)))
        self._rests_until = 0.0
        self._clock = asyncio.get_running_loop().time

    def serves(self, stream: Conversing) -> bool:
        """Whether a blocking read waits for this stream's next entries."""
        return self._serves is stream

    def offer(self, stream: Conversing, poll_interval: float, timeout: float | None) -> bool:
        """Serve a stream that begins to be waited for, if it converses and no other is served.

        Return whether what comes next is sure to come this way, or else to be read in time.
        """
        if self._serves is None and stream.position.converses:
            self._serve(stream)
        # A connection that died silently is found out when its reply is late.
        found_out = poll_interval >= self._reply_timeout
        # Once the blocking read is over, the stream is read once more.
        over = timeout is None or timeout * 1000 >= 2 * self._block_ms
        return self._serves is stream and found_out and over

    def _serve(self, stream: Conversing) -> None:
        if self._clock() < self._rests_until:
            return
        connection = self.connection.live
        if connection is None:
            self.connection.connect()
            return
        self._serves = stream
        read = stream.position.blocking_read(self._block_ms)
        connection.send(read.command, partial(self._on_reply, stream, read))

    def _on_reply(self, stream: Conversing, read: Read, reply: Any) -> None:
        self._serves = None
        if isinstance(reply, ReplyError) and not is_transient(reply):
            self._rest(reply)
        elif reply and not isinstance(reply, Exception):
            stream.accept(read, reply)
        stream.handle(Event.UNBLOCKED)

    def _rest(self, _: Exception) -> None:
        # Conversations go on without; a server that refuses is not asked all the time.
        self._rests_until = self._clock() + REST_SECONDS
