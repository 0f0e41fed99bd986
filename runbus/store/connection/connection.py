"""One connection to a server, shared by all callers of one event loop.

redis-py connects (TLS, authentication, RESP3), then this takes its transport over as an
`asyncio.Protocol`. Commands of one turn of the loop go out in one write; replies come
back in the order of the commands, so each reply settles the oldest call. A caller that gives up
drops its callback and nothing else: the connection is never left half-read.

A connection can die without a word (half-open). While calls are unanswered, bytes must keep
coming: `reply_timeout` seconds without any, and the connection is dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import hiredis
from hiredis import ProtocolError, PushNotification, Reader, ReplyError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from runbus.store.connection.reply import Reply

    OnReply = Callable[[Reply], None]
    OnPush = Callable[[list[Reply]], None]
    Command = tuple[str | bytes | int | float, ...]

# Its stub takes a tuple of one.
_pack: Callable[[Command], bytes] = cast("Any", hiredis).pack_command
_INCOMPLETE = object()
# Errors that pass: the server starts, runs a long script, or is not the one to ask.
_TRANSIENT = (
    *("LOADING", "BUSY", "READONLY", "MASTERDOWN", "NOREPLICAS"),
    *("TRYAGAIN", "CLUSTERDOWN", "MOVED", "ASK", "NOSCRIPT", "UNBLOCKED"),
)


class ConnectionLost(ConnectionError):
    """The connection ended before the reply came; the command may have been executed."""


class Connection(asyncio.Protocol):
    """One connection. `on_lost` is called once, when it has ended."""

    def __init__(
        self,
        *,
        reply_timeout: float,
        on_push: OnPush | None = None,
        on_lost: Callable[[Connection], None] | None = None,
    ) -> None:
        self.alive = False
        self.may_read_inputs = False
        """Whether the server lets this user read inputs."""
        self._reply_timeout = reply_timeout
        self._on_push = on_push
        self._on_lost = on_lost
        self._unanswered: deque[OnReply] = deque()
        self._unwritten: list[bytes] = []
        self._paused = False
        self._reader = Reader(notEnoughData=_INCOMPLETE)
        self._loop = asyncio.get_running_loop()
        self._received_at = 0.0
        self._watchdog: asyncio.TimerHandle | None = None

    def send(self, command: Command, on_reply: OnReply) -> None:
        """Send a command; `on_reply` gets the reply, a `ReplyError`, or `ConnectionLost`.

        On a connection that has ended, `on_reply` is called in the next turn.
        """
        self._send(_pack(command), [on_reply])

    def send_all(
        self, commands: Sequence[Command], on_reply: OnReply, on_last_reply: OnReply
    ) -> None:
        """Send several commands, as `send` does: the last has a callback of its own."""
        on_replies = [on_reply] * (len(commands) - 1)
        self._send(b"".join(map(_pack, commands)), [*on_replies, on_last_reply])

    def _send(self, packed: bytes, on_replies: list[OnReply]) -> None:
        if not self.alive:
            for on_reply in on_replies:
                self._loop.call_soon(on_reply, ConnectionLost("the connection has ended"))
            return
        idle = not self._unanswered
        self._unanswered += on_replies
        if idle:
            self._expect_reply()
        if idle and not self._paused:
            # Nothing is under way, so there is nothing to wait for and to go out with.
            self._transport.write(packed)
            return
        if not self._unwritten:
            self._loop.call_soon(self._flush)
        self._unwritten.append(packed)

    def call(self, *command: str | bytes | float) -> asyncio.Future[Reply]:
        """Send a command and return a future of its reply. An error reply is raised."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        self.send(command, lambda reply: settle(future, reply))
        return future

    def close(self) -> None:
        """End the connection at once; calls without a reply get `ConnectionLost`."""
        self.alive = False
        self._transport.abort()

    def fileno(self) -> int:
        """The socket's descriptor, -1 when it is closed."""
        return self._transport.get_extra_info("socket").fileno()

    def take_over(self, writer: asyncio.StreamWriter) -> None:
        """Make what redis-py connected this connection's own."""
        # The writer closes its transport when it is collected, so it is kept.
        self._writer = writer
        self._transport = cast("asyncio.Transport", writer.transport)
        self._transport.set_protocol(self)
        self.alive = not self._transport.is_closing()

    # What asyncio calls.

    def data_received(self, data: bytes) -> None:
        self._received_at = self._loop.time()
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _INCOMPLETE:
                if isinstance(reply, PushNotification):
                    self._push(reply)
                elif self._unanswered:
                    self._unanswered.popleft()(reply)
                else:
                    raise ProtocolError("a reply that nobody has asked for")
        except ProtocolError:
            self.close()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive = False
        if self._watchdog is not None:
            self._watchdog.cancel()
        lost = ConnectionLost(str(exc) if exc else "the connection was closed")
        unanswered, self._unanswered = self._unanswered, deque()
        self._unwritten.clear()
        if self._on_lost is not None:
            self._on_lost(self)
        for on_reply in unanswered:
            on_reply(lost)

    def _push(self, message: list[Reply]) -> None:
        if self._on_push is not None:
            self._on_push(message)

    def _flush(self) -> None:
        if self._unwritten and not self._paused and self.alive:
            self._transport.writelines(self._unwritten)
            self._unwritten = []

    def _expect_reply(self) -> None:
        self._received_at = self._loop.time()
        if self._watchdog is None:
            self._watchdog = self._loop.call_later(self._reply_timeout, self._check_replies)

    def _check_replies(self) -> None:
        self._watchdog = None
        if not self._unanswered:
            return
        silent_until = self._received_at + self._reply_timeout
        if self._loop.time() >= silent_until:
            self.close()
        else:
            self._watchdog = self._loop.call_at(silent_until, self._check_replies)


@contextmanager
def closed_on_error(connection: Connection) -> Generator[None]:
    """Close a connection that nobody else knows yet if the block ends otherwise than it should."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def settle(future: asyncio.Future[Reply], reply: Reply) -> None:
    """Give a reply to the future that waits for it, an exception as such."""
    if future.done():  # its caller gave up
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)


def is_transient(error: ReplyError) -> bool:
    """Whether the server may answer the same command otherwise in a while."""
    return str(error).startswith(_TRANSIENT)
