"""The watch: wakes readers when their streams change, at no cost while they wait.

The streams are the truth, waking is only a hint. A read (XREAD without BLOCK) on a connection
with `CLIENT TRACKING ON` arms the server: it pushes one invalidation, on that connection, when
the key changes next, whoever changes it. Then the stream is read again, which arms it again. So
nothing is sent for a reader that waits, and a message costs the server O(1) however many wait.

Nothing is missed. Interest is recorded before the read goes out; pushes and replies come in
order on one connection; and after a new connection is made, every reader that waits reads again.
A connection that died silently is found by the heartbeat, which reads a key like the readers do.

That key is the constant `:here` of a tag that is waited for. A slot that moves to another server
pushes nothing for streams that do not exist yet, but it does for this key: then all readers of
the tag read again.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from runbus.store.connection.reconnecting_connection import Channel
from runbus.store.receiving.blocking_read import Express
from runbus.store.receiving.heartbeat import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.errors import RunbusError
    from runbus.protocol.keys import Keys
    from runbus.settings import Settings
    from runbus.store.connection.connection import Link
    from runbus.store.receiving.stream_consumer import Tail
    from runbus.store.topology.server import Server

# How long after a server was given up it is tried again for those who wait on.
REST_SECONDS = 1.0


class Watch:
    """The readers of one event loop on one server, and the connection that wakes them."""

    def __init__(
        self,
        server: Server,
        keys: Keys,
        settings: Settings,
        on_redirect: Callable[[Exception], None] | None = None,
    ) -> None:
        self.channel = Channel(
            server,
            settings,
            on_push=self._hear,
            on_link=self._resume,
            on_failure=self.fail,
            on_lost=self._lose,
        )
        self.express = Express(server, settings)
        self._keys = keys
        self._here_lifetime = max(1, int(settings.retention_seconds))
        self._loop = asyncio.get_running_loop()
        self.call_later = self._loop.call_later
        self._tails: dict[bytes, list[Tail]] = {}
        self._on_redirect = on_redirect
        self._waiting: dict[str, set[Tail]] = {}
        self._followed: dict[str, bytes] = {}
        self._heartbeat = Heartbeat(self.channel, self._any_followed)

    def add(self, tail: Tail) -> None:
        """Tell the tail about every change of its stream from now on."""
        self._tails.setdefault(tail.key, []).append(tail)

    def discard(self, tail: Tail) -> None:
        """Forget the tail."""
        tails = self._tails.get(tail.key, [])
        if tail in tails:
            tails.remove(tail)
            if not tails:
                del self._tails[tail.key]

    def tails(self) -> list[Tail]:
        """Return all tails."""
        return [tail for tails in self._tails.values() for tail in tails]

    def heed(self, error: Exception) -> None:
        """Take note that the server sent a reader elsewhere."""
        if self._on_redirect is not None:
            self._on_redirect(error)

    def fail(self, error: RunbusError) -> None:
        """Raise an error in whoever waits. Who waits all the same is connected later."""
        for tail in [tail for tails in self._waiting.values() for tail in tails]:
            tail.fail(error)
        self.call_later(random.uniform(0.5, 1) * REST_SECONDS, self._connect_if_awaited)  # noqa: S311

    def start_waiting(self, tail: Tail) -> None:
        """Keep the connection alive, and proven alive, while this tail's reader waits."""
        tag = tail.tag
        self._waiting.setdefault(tag, set()).add(tail)
        if self.channel.link is None:
            self.channel.connect()
        elif tag not in self._followed:
            self._follow(self.channel.link, tag)
        self._heartbeat.start(tail.reader.poll_interval)

    def stop_waiting(self, tail: Tail) -> None:
        """End what `start_waiting` began."""
        tag = tail.tag
        tails = self._waiting[tag]
        tails.remove(tail)
        if not tails:
            del self._waiting[tag]
        self._heartbeat.stop(tail.reader.poll_interval)

    def _hear(self, message: list[Any]) -> None:
        if message[0] != b"invalidate":
            return
        if message[1] is None:  # every key: FLUSHALL, or the server forgot what it tracked
            self._change_all()
            return
        for key in message[1]:
            tails = self._tails.get(key)
            if tails is None:
                self._change_tag(key)
            else:
                for tail in tuple(tails):
                    tail.change()

    def _lose(self) -> None:
        self._followed.clear()
        for tails in self._tails.values():
            for tail in tails:
                tail.disarm()
        self._connect_if_awaited()

    def _connect_if_awaited(self) -> None:
        if self._waiting:
            self.channel.connect()

    def _resume(self, link: Link) -> None:
        for tag in self._waiting:
            self._follow(link, tag)
        self._change_all()

    def _change_all(self) -> None:
        for tails in tuple(self._tails.values()):
            for tail in tuple(tails):
                tail.change()

    # The constant key of each tag that is waited for.

    def _follow(self, link: Link, tag: str) -> None:
        key = self._keys.here(tag)
        self._followed[tag] = key.encode()
        link.send(("SET", key, "1", "NX", "EX", self._here_lifetime), _ignore)
        link.send(("GET", key), _ignore)

    def _change_tag(self, key: bytes) -> None:
        for tag in [tag for tag, here in self._followed.items() if here == key]:
            del self._followed[tag]
            tails = self._waiting.get(tag, set())
            if tails and self.channel.link is not None:
                self._follow(self.channel.link, tag)
            for tail in tuple(tails):
                tail.change()

    def _any_followed(self) -> bytes:
        return next(iter(self._followed.values()), b"")


def _ignore(_: Any) -> None:
    """Only what the read arms matters, not what it returns."""
