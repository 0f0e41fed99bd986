"""A connection to one server that is made again after each loss.

It connects when it is first needed, and again, with jittered back-off, when it was lost and
somebody still needs it. Who waits for it gets a live one, or `ServerUnreachable` once the server
has not answered for `retry_seconds`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from hiredis import ReplyError

from runbus.errors import RunbusError, ServerRefused, ServerUnreachable
from runbus.store.connection.backoff import backoff
from runbus.store.connection.connection import (
    Connection,
    ConnectionLost,
    closed_on_error,
    is_transient,
    settle,
)
from runbus.store.connection.counters import counts
from runbus.store.connection.error_replies import refused
from runbus.supervision import tasks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runbus.settings import Settings
    from runbus.store.connection.connection import OnPush

_log = logging.getLogger("runbus")


class Server(Protocol):
    """A server that connections are made to."""

    @property
    def address(self) -> str:
        """How a person would name it; never with a password."""
        ...

    async def connect(self, connection: Connection) -> None:
        """Connect this. Raises `OSError`, or a `RunbusError` where retrying is no use."""
        ...


class ReconnectingConnection:
    """The connections to one server, one after another."""

    def __init__(
        self,
        server: Server,
        settings: Settings,
        *,
        on_push: OnPush | None = None,
        prepare: Callable[[Connection], Awaitable[None]] | None = None,
        on_connected: Callable[[Connection], None] | None = None,
        on_failure: Callable[[RunbusError], None] | None = None,
        on_lost: Callable[[], None] | None = None,
        patience: float | None = None,
    ) -> None:
        """`prepare` asks what has to be known before a new connection is used.

        `patience` is how long (seconds) to try to connect; by default, `retry_seconds`.
        """
        self.server = server
        self.live: Connection | None = None
        """The connection while there is one that is alive."""
        self.trouble: OSError | None = None
        """Why the last attempt to connect failed, until one succeeds."""
        self._settings = settings
        self._patience = settings.retry_seconds if patience is None else patience
        self._on_push = on_push
        self._prepare = prepare
        self._on_connected = on_connected
        self._on_failure = on_failure
        self._on_lost = on_lost
        self._waiting: set[asyncio.Future[Connection]] = set()
        self._connecting: asyncio.Task[None] | None = None
        self._closed = False

    def connect(self) -> None:
        """Begin to connect, unless there is a connection or one is being made."""
        if self.live is None and self._connecting is None and not self._closed:
            self._connecting = tasks.start(self._connect())
            self._connecting.add_done_callback(self._note_cancelled)

    async def connected(self, after: Exception | None = None) -> Connection:
        """Return the live one, connecting first if need be. Raises `ServerUnreachable`.

        `after` a call that failed on a server that was demoted, it is a new one: the server's name
        may lead to the new primary by now.
        """
        if self.live is not None and str(after).startswith("READONLY"):
            self.live.close()
            await asyncio.sleep(0)  # the transport ends in the next turn
        if self.live is not None:
            return self.live
        if self._closed:
            raise self.unreachable(0)
        future: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        self.connect()
        try:
            return await future
        finally:
            self._waiting.discard(future)

    def close(self) -> None:
        """End it for good."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self.live is not None:
            self.live.close()

    async def _connect(self) -> None:
        try:
            connection = await self._connect_with_retries()
        except Exception as error:
            self._connecting = None
            self._fail(error)
        else:
            # In this order: whoever is woken may find it lost and connect again.
            self._connecting = None
            self.live = connection
            if self._on_connected is not None:
                self._on_connected(connection)
            self._answer(connection)

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, RunbusError):
            error = ServerRefused(address=self.server.address, reply=error)
        self._answer(error)
        if self._on_failure is not None:
            self._on_failure(error)

    def _note_cancelled(self, connecting: asyncio.Task[None]) -> None:
        # Somebody cancels every task of the loop, which may be the loop's end or not.
        if connecting.cancelled():
            self._connecting = None
            self._answer(ConnectionLost("cancelled"))
            if self._on_lost is not None and not self._closed:
                self._on_lost()

    def _answer(self, answer: Connection | Exception) -> None:
        for future in self._waiting:
            settle(future, answer)
        self._waiting.clear()

    async def _connect_with_retries(self) -> Connection:
        clock = asyncio.get_running_loop().time
        started = clock()
        for delay in backoff():
            await asyncio.sleep(delay)
            try:
                connection = await self._connect_once()
            except OSError as error:
                self._note_trouble(error)
                if clock() - started >= self._patience:
                    raise self.unreachable(clock() - started) from None
            else:
                self.trouble = None
                return connection
        raise AssertionError("backoff never ends")

    def unreachable(self, seconds: float, cause: Exception | None = None) -> ServerUnreachable:
        """The error for somebody who has waited this long to connect or for an answer."""
        silent = "not connected yet" if self.live is None else "it does not reply"
        cause = cause or self.trouble or ConnectionError(silent)
        return ServerUnreachable(address=self.server.address, seconds=seconds, cause=cause)

    def _note_trouble(self, error: OSError) -> None:
        if self.trouble is None and self._patience:
            _log.warning("no connection: %s. Trying again for %g s.", error, self._patience)
        self.trouble = error

    async def _connect_once(self) -> Connection:
        connection = Connection(
            reply_timeout=self._settings.reply_timeout_seconds,
            on_push=self._on_push,
            on_lost=self._drop,
        )
        await self.server.connect(connection)
        with closed_on_error(connection):
            if self._on_push is not None:
                await self._track(connection)
            if self._prepare is not None:
                await self._prepare(connection)
        if not connection.alive:
            raise ConnectionLost("the connection was closed at once")
        return connection

    async def _track(self, connection: Connection) -> None:
        track = ("CLIENT", "TRACKING", "ON")
        try:
            await connection.call(*track)
        except ReplyError as error:
            if is_transient(error):
                raise ConnectionError(str(error)) from None
            raise refused(self.server.address, error, track) from None

    def _drop(self, connection: Connection) -> None:
        if self.live is connection:
            self.live = None
            counts.reconnects += not self._closed
            if self._on_lost is not None:
                self._on_lost()
