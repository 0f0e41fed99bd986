"""Key tracking: wakes who waits for a stream when it changes, at no cost while they wait.

The streams are the truth, waking is only a hint. A read (XREAD without BLOCK) on a connection
with `CLIENT TRACKING ON` arms the server: it pushes one invalidation, on that connection, when
the key changes next, whoever changes it. Then the stream is read again, which arms it again. So
nothing is sent for who waits, and a message costs the server O(1) however many wait.

Nothing is missed. Interest is recorded before the read goes out; pushes and replies come in
order on one connection; and after a new connection is made, everybody who waits reads again. A
connection that died silently is found by the heartbeat, which reads a key as the listeners do.

That key is the constant `:here` of a tag that is waited for. A slot that moves to another server
pushes nothing for streams that do not exist yet, but it does for this key: then all listeners
of the tag read again.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Protocol

from runbus.store.connection.reconnecting_connection import ReconnectingConnection
from runbus.store.receiving.blocking_read import BlockingRead
from runbus.store.receiving.heartbeat import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.errors import RunbusError
    from runbus.protocol.keys import Keys
    from runbus.settings import Settings
    from runbus.store.connection.connection import Connection
    from runbus.store.connection.reconnecting_connection import Server

# How long after a server was given up it is tried again for those who wait on.
REST_SECONDS = 1.0


class Listener(Protocol):
    """A stream consumer, as far as it is known here."""

    tag: str
    """The hash tag of its key."""

    @property
    def key(self) -> bytes:
        """The key of its stream."""
        ...

    @property
    def poll_interval(self) -> float:
        """How long (seconds) a lost connection may go unnoticed, at most."""
        ...

    def change(self) -> None:
        """Take note that its stream may have changed."""
        ...

    def disarm(self) -> None:
        """Take note that the connection is gone, and with it what the server was to tell."""
        ...

    def move(self, tracking: KeyTracking, /) -> None:
        """Go over to the server that has its stream now."""
        ...

    def fail(self, error: RunbusError, /) -> None:
        """Give up reading for now."""
        ...


class KeyTracking:
    """The listeners of one event loop on one server, and the connection that wakes them."""

    def __init__(
        self,
        server: Server,
        keys: Keys,
        settings: Settings,
        note_redirect: Callable[[Exception], None],
    ) -> None:
        """`note_redirect` takes the error of a server that sent a listener elsewhere."""
        self.connection = ReconnectingConnection(
            server,
            settings,
            on_push=self._on_push,
            on_connected=self._on_connected,
            on_failure=self.fail,
            on_lost=self._on_lost,
        )
        self.blocking_read = BlockingRead(server, settings)
        self._keys = keys
        self._here_lifetime = max(1, int(settings.retention_seconds))
        self._loop = asyncio.get_running_loop()
        self.call_later = self._loop.call_later
        # Tuples, as nearly all have one.
        self._listeners: dict[bytes, tuple[Listener, ...]] = {}
        self.note_redirect = note_redirect
        # Dicts for sets, which take up to three times as much.
        self._waiting: dict[str, dict[Listener, None]] = {}
        self._followed: dict[str, bytes] = {}
        self._heartbeat = Heartbeat(self.connection, self._any_followed)

    def add(self, listener: Listener) -> None:
        """Tell a listener about every change of its stream from now on."""
        self._listeners[listener.key] = (*self._listeners.get(listener.key, ()), listener)

    def discard(self, listener: Listener) -> None:
        """Forget a listener."""
        listeners = self._listeners.pop(listener.key, ())
        if others := tuple(each for each in listeners if each is not listener):
            self._listeners[listener.key] = others

    def listeners(self) -> list[Listener]:
        """Return all listeners."""
        return [each for listeners in self._listeners.values() for each in listeners]

    def connections(self) -> tuple[ReconnectingConnection, ReconnectingConnection]:
        """Return its connections, connected or not."""
        return self.connection, self.blocking_read.connection

    def fail(self, error: RunbusError) -> None:
        """Raise an error in whoever waits. Who waits all the same is connected later."""
        for listener in [
            listener for listeners in self._waiting.values() for listener in listeners
        ]:
            listener.fail(error)
        self.call_later(random.uniform(0.5, 1) * REST_SECONDS, self._connect_if_awaited)  # noqa: S311

    def start_waiting(self, listener: Listener) -> None:
        """Keep the connection alive, and proven alive, while this listener waits."""
        tag = listener.tag
        self._waiting.setdefault(tag, {})[listener] = None
        if self.connection.live is None:
            self.connection.connect()
        elif tag not in self._followed:
            self._follow(self.connection.live, tag)
        self._heartbeat.start(listener.poll_interval)

    def stop_waiting(self, listener: Listener) -> None:
        """End what `start_waiting` began."""
        tag = listener.tag
        listeners = self._waiting[tag]
        del listeners[listener]
        if not listeners:
            del self._waiting[tag]
        self._heartbeat.stop(listener.poll_interval)

    def _on_push(self, message: list[Any]) -> None:
        if message[0] != b"invalidate":
            return
        if message[1] is None:  # every key: FLUSHALL, or the server forgot what it tracked
            self._change_all()
            return
        for key in message[1]:
            listeners = self._listeners.get(key)
            if listeners is None:
                self._change_tag(key)
            else:
                for listener in listeners:
                    listener.change()

    def _on_lost(self) -> None:
        self._followed.clear()
        for listener in self.listeners():
            listener.disarm()
        self._connect_if_awaited()

    def _connect_if_awaited(self) -> None:
        if self._waiting:
            self.connection.connect()

    def _on_connected(self, connection: Connection) -> None:
        for tag in self._waiting:
            self._follow(connection, tag)
        self._change_all()

    def _change_all(self) -> None:
        for listener in self.listeners():
            listener.change()

    # The constant key of each tag that is waited for.

    def _follow(self, connection: Connection, tag: str) -> None:
        key = self._keys.here(tag)
        self._followed[tag] = key.encode()
        connection.send(("SET", key, "1", "NX", "EX", self._here_lifetime), _ignore)
        connection.send(("GET", key), _ignore)

    def _change_tag(self, key: bytes) -> None:
        for tag in [tag for tag, followed in self._followed.items() if followed == key]:
            del self._followed[tag]
            listeners = self._waiting.get(tag, {})
            if listeners and self.connection.live is not None:
                self._follow(self.connection.live, tag)
            for listener in tuple(listeners):
                listener.change()

    def _any_followed(self) -> bytes:
        return next(iter(self._followed.values()), b"")


def _ignore(_: Any) -> None:
    """Only what the read arms matters, not what it returns."""
