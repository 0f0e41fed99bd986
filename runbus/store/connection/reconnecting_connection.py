"""A channel: a link that comes back.

It connects when it is first needed, and again, with jittered back-off, when the link is lost and
somebody still needs it. Who waits for a link gets one, or `ServerUnreachable` once the server
has not answered for `retry_seconds`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from hiredis import ReplyError

from runbus.errors import RunbusError, ServerRefused, ServerUnreachable
from runbus.store.connection.backoff import backoff
from runbus.store.connection.connection import Link, LinkLost, closed_on_error, is_transient, settle
from runbus.store.connection.counters import counts
from runbus.store.connection.error_replies import refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runbus.settings import Settings
    from runbus.store.connection.connection import OnPush
    from runbus.store.topology.server import Server


_log = logging.getLogger("runbus")


class Channel:
    """A connection to one server that is made again after each loss."""

    def __init__(
        self,
        server: Server,
        settings: Settings,
        *,
        on_push: OnPush | None = None,
        greet: Callable[[Link], Awaitable[None]] | None = None,
        on_link: Callable[[Link], None] | None = None,
        on_failure: Callable[[RunbusError], None] | None = None,
        on_lost: Callable[[], None] | None = None,
        patience: float | None = None,
    ) -> None:
        """`greet` asks what has to be known before a new link is used.

        `patience` is how long (seconds) to try to connect; by default, `retry_seconds`.
        """
        self.server = server
        self.link: Link | None = None
        """The link while it is alive."""
        self.trouble: OSError | None = None
        """Why the last attempt to connect failed, until one succeeds."""
        self._settings = settings
        self._patience = settings.retry_seconds if patience is None else patience
        self._on_push = on_push
        self._greet = greet
        self._on_link = on_link
        self._on_failure = on_failure
        self._on_lost = on_lost
        self._waiting: set[asyncio.Future[Link]] = set()
        self._connecting: asyncio.Task[None] | None = None
        self._closed = False

    def connect(self) -> None:
        """Begin to connect, unless there is a link or one is being made."""
        if self.link is None and self._connecting is None and not self._closed:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add_done_callback(self._note_cancelled)

    async def connected(self, after: Exception | None = None) -> Link:
        """Return the live link, connecting first if need be. Raises `ServerUnreachable`.

        `after` a call that failed on a server that was demoted, the link is a new one: its name
        may lead to the new primary by now.
        """
        if self.link is not None and str(after).startswith("READONLY"):
            self.link.close()
            await asyncio.sleep(0)  # the transport ends in the next turn
        if self.link is not None:
            return self.link
        if self._closed:
            raise self.unreachable(0)
        future: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        self.connect()
        try:
            return await future
        finally:
            self._waiting.discard(future)

    def close(self) -> None:
        """End the link for good."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self.link is not None:
            self.link.close()

    async def _connect(self) -> None:
        try:
            link = await self._connect_with_retries()
        except Exception as error:
            self._connecting = None
            self._fail(error)
        else:
            # In this order: whoever is woken may find the link lost and connect again.
            self._connecting = None
            self.link = link
            if self._on_link is not None:
                self._on_link(link)
            self._answer(link)

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
            self._answer(LinkLost("cancelled"))
            if self._on_lost is not None and not self._closed:
                self._on_lost()

    def _answer(self, answer: Link | Exception) -> None:
        for future in self._waiting:
            settle(future, answer)
        self._waiting.clear()

    async def _connect_with_retries(self) -> Link:
        clock = asyncio.get_running_loop().time
        started = clock()
        for delay in backoff():
            await asyncio.sleep(delay)
            try:
                link = await self._connect_once()
            except OSError as error:
                self._note_trouble(error)
                if clock() - started >= self._patience:
                    raise self.unreachable(clock() - started) from None
            else:
                self.trouble = None
                return link
        raise AssertionError("backoff never ends")

    def unreachable(self, seconds: float, cause: Exception | None = None) -> ServerUnreachable:
        """The error for somebody who has waited this long for a link or for an answer."""
        silent = "not connected yet" if self.link is None else "it does not reply"
        cause = cause or self.trouble or ConnectionError(silent)
        return ServerUnreachable(address=self.server.address, seconds=seconds, cause=cause)

    def _note_trouble(self, error: OSError) -> None:
        if self.trouble is None and self._patience:
            _log.warning("no connection: %s. Trying again for %g s.", error, self._patience)
        self.trouble = error

    async def _connect_once(self) -> Link:
        link = Link(
            reply_timeout=self._settings.reply_timeout_seconds,
            on_push=self._on_push,
            on_lost=self._lose,
        )
        await self.server.connect(link)
        with closed_on_error(link):
            if self._on_push is not None:
                await self._track(link)
            if self._greet is not None:
                await self._greet(link)
        if not link.alive:
            raise LinkLost("the connection was closed at once")
        return link

    async def _track(self, link: Link) -> None:
        track = ("CLIENT", "TRACKING", "ON")
        try:
            await link.call(*track)
        except ReplyError as error:
            if is_transient(error):
                raise ConnectionError(str(error)) from None
            raise refused(self.server.address, error, track) from None

    def _lose(self, link: Link) -> None:
        if self.link is link:
            self.link = None
            counts.reconnects += not self._closed
            if self._on_lost is not None:
                self._on_lost()
