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
from runbus.store.backoff import backoff
from runbus.store.link import Link, LinkLost, settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.settings import Settings
    from runbus.store.link import OnPush
    from runbus.store.topology import Server


_log = logging.getLogger("runbus")


class Channel:
    """A connection to one server that is made again after each loss."""

    def __init__(
        self,
        server: Server,
        settings: Settings,
        *,
        on_push: OnPush | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self.server = server
        self.link: Link | None = None
        """The link while it is alive."""
        self.trouble: OSError | None = None
        """Why the last attempt to connect failed, until one succeeds."""
        self._settings = settings
        self._on_push = on_push
        self._on_lost = on_lost
        self._waiting: set[asyncio.Future[Link]] = set()
        self._connecting: asyncio.Task[None] | None = None

    async def connected(self) -> Link:
        """Return the live link, connecting first if need be. Raises `ServerUnreachable`."""
        if self.link is not None:
            return self.link
        future: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        self._start_connecting()
        try:
            return await future
        finally:
            self._waiting.discard(future)

    def close(self) -> None:
        """End the link. A later `connected()` makes a new one."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self.link is not None:
            self.link.close()

    def _start_connecting(self) -> None:
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add_done_callback(self._end_connecting)

    async def _connect(self) -> None:
        try:
            self.link = await self._connect_with_retries()
        except RunbusError as error:
            self._answer(error)
        else:
            self._answer(self.link)

    def _end_connecting(self, connecting: asyncio.Task[None]) -> None:
        self._connecting = None
        if connecting.cancelled():
            # The loop is being shut down and cancels every task. Who still waits, decides.
            self._answer(LinkLost("cancelled"))
        elif (error := connecting.exception()) is not None:
            self._answer(ServerRefused(address=self.server.address, reply=error))

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
                if clock() - started >= self._settings.retry_seconds:
                    raise self.unreachable(clock() - started) from None
            else:
                self.trouble = None
                return link
        raise AssertionError("backoff never ends")

    def unreachable(self, seconds: float) -> ServerUnreachable:
        """The error for somebody who has waited this long for a link."""
        cause = self.trouble or "not connected yet"
        return ServerUnreachable(address=self.server.address, seconds=seconds, cause=cause)

    def _note_trouble(self, error: OSError) -> None:
        if self.trouble is None:
            seconds = self._settings.retry_seconds
            _log.warning("no connection: %s. Trying again for %g s.", error, seconds)
        self.trouble = error

    async def _connect_once(self) -> Link:
        link = Link(
            reply_timeout=self._settings.reply_timeout_seconds,
            on_push=self._on_push,
            on_lost=self._lose,
        )
        await self.server.connect(link)
        if self._on_push is not None:
            await self._track(link)
        return link

    async def _track(self, link: Link) -> None:
        try:
            await link.call("CLIENT", "TRACKING", "ON")
        except ReplyError as error:
            link.close()
            raise ServerRefused(address=self.server.address, reply=error) from None

    def _lose(self, link: Link) -> None:
        if self.link is link:
            self.link = None
            if self._on_lost is not None:
                self._on_lost()
