"""A TCP proxy between a client and a server that delays, loses and breaks on demand.

Each accepted connection is a `_Link`: the client's transport, a transport to the server, and a
`_Pipe` for each direction. The proxy runs on an event loop in a thread of its own, so it serves
sync and async clients alike. A control runs on that loop and is in effect when it returns; it
blocks the caller for microseconds. The `wait_for_…` block for as long as they wait: on an
event loop that the awaited clients share, write `await asyncio.to_thread(proxy.wait_for_…)`.

The proxy does not parse what it carries. "A request" is what one read from a client gives: a whole
command or pipeline as long as it is small (under 64 kB, say) and was written at once.
"""

from __future__ import annotations

import asyncio
import select
import selectors
import socket
import struct
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Proxy:
    """`with Proxy(server.host, server.port) as proxy:` and then connect to `proxy.url`."""

    def __init__(self, target_host: str, target_port: int) -> None:
        self.port = 0
        self.connections_total = 0
        """How many connections were accepted so far, with those that were refused."""
        self._target = (target_host, target_port)
        self._faults = _Faults()
        self._to_server, self._to_client = _Meter(), _Meter()
        self._links: set[_Link] = set()
        self._changed = asyncio.Event()
        self._loop = asyncio.SelectorEventLoop(_PreciseSelector())
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def connections_open(self) -> int:
        """How many clients are connected now."""
        return sum(link.client is not None for link in self._links.copy())

    @property
    def bytes_to_server(self) -> int:
        return self._to_server.bytes

    @property
    def bytes_to_client(self) -> int:
        return self._to_client.bytes

    # --- Controls ---

    def delay(self, seconds: float) -> None:
        """Hand bytes on `seconds` after they came, each way, however many are under way."""
        self._control(lambda: setattr(self._faults, "delay", seconds))

    def cut(self) -> None:
        """Abort all connections with a reset. Requests held back still reach the server."""
        self._control(lambda: self._on_each_link(_Link.cut))

    def redirect(self, host: str, port: int) -> None:
        """Lead new connections elsewhere, as a name does that points to another server now."""
        self._control(lambda: setattr(self, "_target", (host, port)))

    def refuse(self, on: bool = True) -> None:
        """Close new connections at once; those that exist go on."""
        self._control(lambda: setattr(self._faults, "refusing", on))

    def drop_replies(self, on: bool = True) -> None:
        """Swallow what the server says. Off: the connections that lost bytes are cut."""

        def switch() -> None:
            self._faults.dropping_replies = on
            if not on:
                self._on_each_link(_Link.cut_if_replies_were_lost)

        self._control(switch)

    def half_open(self) -> None:
        """Let the present connections go silent: open, but no byte and no close passes any more.

        New connections work.
        """
        self._control(lambda: self._on_each_link(_Link.fall_silent))

    def cut_mid_request(self, n_bytes: int) -> None:
        """Let the next `n_bytes` from a client pass, then cut its connection.

        The server receives these bytes and then the end of the connection.
        """
        self._control(lambda: setattr(self._faults, "bytes_until_cut", n_bytes))

    def lose_next_reply(self) -> None:
        """Let the next request be executed, swallow its reply and cut: done, unacknowledged.

        The client is cut when the server has executed everything that was sent to it. Use it
        while no earlier reply is outstanding, which would be taken for the one to lose.
        """
        self._control(lambda: setattr(self._faults, "losing_next_reply", True))

    def hold_requests(self, on: bool = True) -> None:
        """Keep back what the clients of the present connections send. New connections work.

        Off: it is sent to the server, also for clients that have closed or were cut meanwhile.
        So a first attempt is executed late, after its retry on another connection.
        """
        self._control(lambda: self._on_each_link(lambda link: link.requests.hold(on)))

    def wait_for_connections(self, n: int, timeout: float = 5) -> None:
        """Wait until at least `n` clients are connected. Raises `TimeoutError`."""
        self._run(self._wait_until(lambda: self.connections_open >= n, timeout))

    def wait_for_held_requests(self, timeout: float = 5) -> None:
        """Wait until something is held back. Raises `TimeoutError`."""
        self._run(
            self._wait_until(lambda: any(x.requests.holds_bytes for x in self._links), timeout)
        )

    def wait_for_late_requests(self, timeout: float = 5) -> None:
        """Wait until the server has executed all it got from clients that are gone.

        Meant for after `hold_requests(False)`. Raises `TimeoutError`.
        """
        self._run(self._wait_until(lambda: not any(x.is_orphaned for x in self._links), timeout))

    # --- The loop ---

    def _run(self, coroutine: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _control(self, action: Callable[[], None]) -> None:
        async def act() -> None:
            action()
            await asyncio.sleep(0)  # an aborted transport closes its socket in the next turn

        self._run(act())

    def _on_each_link(self, action: Callable[[_Link], None]) -> None:
        for link in self._links.copy():
            action(link)

    async def _listen(self) -> None:
        self._server = await self._loop.create_server(self._accept, "127.0.0.1", 0, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]

    def _accept(self) -> asyncio.Protocol:
        self.connections_total += 1
        if self._faults.refusing:
            return _Refusal()
        requests = _Pipe(self._faults, self._to_server, held=self._changed.set)
        replies = _Pipe(self._faults, self._to_client, held=self._changed.set)
        return _ClientSide(
            _Link(
                self._target,
                self._faults,
                requests=requests,
                replies=replies,
                changed=self._link_changed,
            )
        )

    def _link_changed(self, link: _Link) -> None:
        if link.is_gone:
            self._links.discard(link)
        else:
            self._links.add(link)
        self._changed.set()

    async def _wait_until(self, predicate: Callable[[], bool], timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                while not predicate():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            message = f"not within {timeout} s; {self.connections_open} client(s) are connected"
            raise TimeoutError(message) from None

    async def _close(self) -> None:
        self._server.close()
        for _ in range(3):  # turns, until a connection accepted in this moment is a link
            await asyncio.sleep(0)
        self._on_each_link(_Link.abort)
        await self._wait_until(lambda: not self._links, timeout=5)


@dataclass
class _Faults:
    """What is to go wrong on all connections; read and changed on the proxy's loop only."""

    delay: float = 0.0
    refusing: bool = False
    dropping_replies: bool = False
    losing_next_reply: bool = False
    bytes_until_cut: int | None = None


@dataclass
class _Meter:
    """How many bytes went in one direction, over all connections."""

    bytes: int = 0


class _Link:
    """A client's connection, and the one to the server that was made for it."""

    def __init__(
        self,
        target: tuple[str, int],
        faults: _Faults,
        *,
        requests: _Pipe,
        replies: _Pipe,
        changed: Callable[[_Link], None],
    ) -> None:
        self.client: asyncio.Transport | None = None
        self.server: asyncio.Transport | None = None
        self.requests = requests
        self.replies = replies
        self._target = target
        self._faults = faults
        self._changed = changed
        self._silent = False
        self._lost_replies = False
        self._loses_reply = False

    @property
    def is_gone(self) -> bool:
        return self.client is None and self.server is None and self._connecting.done()

    @property
    def is_orphaned(self) -> bool:
        """Whether the server may still be at work for a client that is gone."""
        return self.client is None and not self.is_gone and not self._silent

    # --- What the client's side reports ---

    def client_connected(self, transport: asyncio.Transport) -> None:
        self.client = transport
        self.replies.connect(transport, at_end=transport.close)
        self._connecting = asyncio.ensure_future(self._connect())
        self._connecting.add_done_callback(lambda _: self._changed(self))
        self._changed(self)

    def request(self, data: bytes) -> None:
        if self._silent:
            return
        if self._faults.bytes_until_cut is not None:
            self._send_until_cut(data)
            return
        if self._faults.losing_next_reply:
            self._faults.losing_next_reply = False
            self._loses_reply = True
        self.requests.put(data)

    def client_lost(self) -> None:
        self.client = None
        if not self._silent:
            self.requests.end()
        self._changed(self)

    # --- What the server's side reports ---

    def server_connected(self, transport: asyncio.Transport) -> None:
        self.server = transport
        # Only half a close: a reply that met a closed socket would be answered by a reset, and the
        # server would lose what it has not read yet. So it reads to the end, and closes then.
        self.requests.connect(transport, at_end=transport.write_eof)

    def reply(self, data: bytes) -> None:
        if self._silent or self.client is None:
            return
        if self._loses_reply:
            self.requests.end()  # the server closes when it has executed what came before
        elif self._faults.dropping_replies:
            self._lost_replies = True
        else:
            self.replies.put(data)

    def server_lost(self) -> None:
        self.server = None
        if self._loses_reply:
            _reset(self.client)
        elif not self._silent:
            self.replies.end()
        self._changed(self)

    # --- What the proxy's controls do ---

    def cut(self) -> None:
        if self.requests.holds_bytes:
            _reset(self.client)
        else:
            self.abort()

    def abort(self) -> None:
        self._connecting.cancel()
        _reset(self.client)
        _reset(self.server)

    def cut_if_replies_were_lost(self) -> None:
        if self._lost_replies:
            self.cut()

    def fall_silent(self) -> None:
        self._silent = True
        self.requests.discard()
        self.replies.discard()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _ServerSide(self), *self._target)
        except OSError:
            _reset(self.client)

    def _send_until_cut(self, data: bytes) -> None:
        passing = data[: self._faults.bytes_until_cut]
        self._faults.bytes_until_cut -= len(passing)
        self.requests.put(passing)
        if self._faults.bytes_until_cut == 0:
            self._faults.bytes_until_cut = None
            self.requests.end()
            _reset(self.client)


class _Pipe:
    """One direction of a link. Bytes leave in the order they came in, delayed or held back."""

    def __init__(self, faults: _Faults, meter: _Meter, held: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._faults = faults
        self._meter = meter
        self._on_held = held
        self._waiting: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._sink: asyncio.Transport | None = None
        self._is_held = False
        self._has_ended = False

    def connect(self, sink: asyncio.Transport, *, at_end: Callable[[], None]) -> None:
        self._sink = sink
        self._at_end = at_end
        self._drain()

    def put(self, data: bytes) -> None:
        if self._has_ended:
            return
        if self._waiting or self._is_held or self._faults.delay or self._sink is None:
            self._queue(data)
        else:
            self._hand_on(data)

    def end(self) -> None:
        """Let the receiver see the end of the connection, after what is under way."""
        if not self._has_ended:
            self._has_ended = True
            self._queue(None)

    def hold(self, on: bool) -> None:
        self._is_held = on
        self._drain()

    @property
    def holds_bytes(self) -> bool:
        return self._is_held and bool(self._waiting)

    def discard(self) -> None:
        self._waiting.clear()

    def _queue(self, data: bytes | None) -> None:
        self._waiting.append((self._loop.time() + self._faults.delay, data))
        if self._is_held:
            self._on_held()
        else:
            self._drain()

    def _drain(self) -> None:
        while self._waiting and self._sink is not None and not self._is_held:
            due, data = self._waiting[0]
            if due > self._loop.time():
                if self._timer is None:
                    self._timer = self._loop.call_at(due, self._wake)
                return
            self._waiting.popleft()
            self._hand_on(data)

    def _wake(self) -> None:
        self._timer = None
        self._drain()

    def _hand_on(self, data: bytes | None) -> None:
        if self._sink.is_closing():
            return
        if data is None:
            self._at_end()
            return
        self._meter.bytes += len(data)
        self._sink.write(data)


class _ClientSide(asyncio.Protocol):
    def __init__(self, link: _Link) -> None:
        self._link = link
        self.data_received = link.request

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._link.client_connected(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.client_lost()

    # A side that takes no more (a frozen server) is felt by the other, as without a proxy.

    def pause_writing(self) -> None:
        if self._link.server is not None:
            self._link.server.pause_reading()

    def resume_writing(self) -> None:
        if self._link.server is not None:
            self._link.server.resume_reading()


class _ServerSide(asyncio.Protocol):
    def __init__(self, link: _Link) -> None:
        self._link = link
        self.data_received = link.reply

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._link.server_connected(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.server_lost()

    def pause_writing(self) -> None:
        if self._link.client is not None:
            self._link.client.pause_reading()

    def resume_writing(self) -> None:
        if self._link.client is not None:
            self._link.client.resume_reading()


class _Refusal(asyncio.Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:
        _reset(transport)


class _PreciseSelector(selectors.DefaultSelector):
    """Waits as long as asked: epoll alone rounds 0.4 ms up to 1 ms, which spoils a delay."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # `select` takes no file above 1023; a process with that many gets the rounding.
        if timeout is not None and timeout > 0 and self.fileno() < 1024:
            select.select([self.fileno()], [], [], timeout)
            timeout = 0
        return super().select(timeout)


def _reset(transport: asyncio.Transport | None) -> None:
    """Close with RST: the other end gets "connection reset", nothing that waits is sent."""
    if transport is None:
        return
    with suppress(OSError):
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
    transport.abort()
