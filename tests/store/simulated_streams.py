"""Streams on servers that are simulated step by step, and what stands between them and a consumer.

Whatever takes time on a real one is a step here that the test takes when it likes: a command is
executed, a reply or a push arrives, a timer runs out, a redirected question is answered.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from hiredis import ReplyError

from runbus.errors import ServerUnreachable
from runbus.protocol.entries import numbers_of
from runbus.store.connection.connection import ConnectionLost
from runbus.store.receiving.read_state import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from runbus.store.receiving.position import Read
    from runbus.store.receiving.stream_consumer import StreamConsumer

Entries = list[tuple[bytes, list[bytes]]]


class Connection:
    """A connection that tracks: its commands and what comes back, both in order."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.asked: deque[tuple[tuple[Any, ...], Callable[[Any], None]]] = deque()
        self.coming: deque[tuple[Callable[[Any], None], Any]] = deque()
        self.tracked: set[bytes] = set()
        self.is_silent = False

    def send(self, command: tuple[Any, ...], on_reply: Callable[[Any], None]) -> None:
        self.asked.append((command, on_reply))

    def execute(self) -> None:
        """Let the server execute the oldest command."""
        command, on_reply = self.asked.popleft()
        self.coming.append((on_reply, self.server.reply(self, command)))

    def arrive(self) -> None:
        """Let the oldest reply or push arrive, unless the connection has died silently."""
        on_reply, reply = self.coming.popleft()
        if not self.is_silent:
            on_reply(reply)

    def has_asked(self, read: Read) -> bool:
        """Whether a read is on its way, there or back."""
        on_replies = [*(each for _, each in self.asked), *(each for each, _ in self.coming)]
        return any(read in getattr(each, "args", ()) for each in on_replies)


@dataclass(eq=False)
class Server:
    """A server, and a process's key tracking there: what a `StreamConsumer` knows of it."""

    world: World
    live: Connection | None = None
    listeners: list[StreamConsumer[Any]] = field(default_factory=list)
    refusals: deque[str] = field(default_factory=deque)
    """What the next reads are answered."""
    address = "simulated"

    def __post_init__(self) -> None:
        self.connection = self.server = self
        self.blocking_read = self.world.blocking_read
        self.add, self.discard = self.listeners.append, self.listeners.remove
        self.start_waiting = self.stop_waiting = lambda _: None

    def call_later(self, _: float, work: Callable[..., None], *args: Any) -> None:
        self.world.timers.append((work, args))

    def note_redirect(self, _: Exception) -> None:
        self.world.go_along()

    def unreachable(self, seconds: float, cause: Exception | None = None) -> ServerUnreachable:
        return ServerUnreachable(address=self.address, seconds=seconds, cause=cause or OSError())

    def connect(self) -> None:
        """Make a new connection; everybody reads again."""
        self.live = Connection(self)
        for listener in tuple(self.listeners):
            listener.change()

    def cut(self) -> None:
        """Lose the connection, and with it what was not answered."""
        lost, self.live = self.live, None
        for listener in tuple(self.listeners):
            listener.disarm()
        if lost is not None:
            for on_reply, _ in [*lost.coming, *((each, None) for _, each in lost.asked)]:
                on_reply(ConnectionLost("cut"))

    def reply(self, connection: Connection, command: tuple[Any, ...]) -> Any:
        """Execute a command."""
        name, key = command[0], command[1] if command[0] == "XREVRANGE" else command[-2]
        if self.world.owners[key] is not self:
            return ReplyError("MOVED 1 elsewhere")
        if name == "XREAD" and self.refusals:
            return ReplyError(self.refusals.popleft())
        connection.tracked.add(key)
        return self.world.look_up(command)


@dataclass
class BlockingRead:
    """One blocking read at a time, answered when the test likes."""

    stream: StreamConsumer[Any] | None = None
    read: Any = None

    def serves(self, stream: StreamConsumer[Any]) -> bool:
        return self.stream is stream


class World:
    """Two servers, and streams that are on one of them at a time."""

    def __init__(self) -> None:
        self.timers: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.tasks: list[Coroutine[Any, Any, None]] = []
        self.blocking_read = BlockingRead()
        self.servers = (Server(self), Server(self))
        self.streams: dict[bytes, Entries] = {}
        self.owners: dict[bytes, Server] = {}
        self.now = 1000.0
        self._ids = count(1)
        self.loop = SimpleNamespace(time=lambda: self.now, create_task=self.tasks.append)
        self.settings = SimpleNamespace(retry_seconds=2.0)
        self.commands = self
        self.trackings = SimpleNamespace(of=self.owners.get)

    def make(self, key: str) -> None:
        """Make an empty stream on the first server."""
        self.streams[key.encode()], self.owners[key.encode()] = [], self.servers[0]

    async def command(self, *command: Any) -> Any:
        """Answer a command wherever its stream is."""
        await Step()
        reply = self.look_up(command)
        await Step()
        return reply

    def look_up(self, command: tuple[Any, ...]) -> Any:
        """Return what is on a stream."""
        if command[0] == "XREAD":
            key, place = command[-2], numbers_of(command[-1])
            found = [each for each in self.streams[key] if numbers_of(each[0]) > place]
            return {key: found[: command[2]]} if found else {}
        key, first = command[1], command[2]
        if first == "+":
            return self.streams[key][-1:]
        return [each for each in self.streams[key] if each[0] == first]

    def append(self, key: bytes) -> tuple[bytes, bytes]:
        """Append an entry; return its id and its key."""
        number = next(self._ids)
        entry_id, name = b"%d-0" % number, b"key-%d" % number
        self.streams[key].append((entry_id, [b"key", name, b"value", b"1"]))
        self.push(key)
        return entry_id, name

    def push(self, key: bytes) -> None:
        """Tell whoever tracks a key that it has changed."""
        connection = self.owners[key].live
        if connection is not None and key in connection.tracked:
            connection.tracked.discard(key)
            connection.coming.append((self._on_push, key))

    def _on_push(self, key: Any) -> None:
        for server in self.servers:
            for listener in tuple(server.listeners):
                if listener.key == key and not isinstance(key, Exception):
                    listener.change()

    def is_told(self, key: bytes) -> bool:
        """Whether the change of a key is told, or will be."""
        connection = self.owners[key].live
        return connection is not None and (
            key in connection.tracked or any(each == key for _, each in connection.coming)
        )

    def move(self, key: bytes) -> None:
        """Move a stream to the other server."""
        self.push(key)
        first, second = self.servers
        self.owners[key] = second if self.owners[key] is first else first

    def go_along(self) -> None:
        """Take the consumers along to where their streams are now."""
        for server in self.servers:
            for listener in tuple(server.listeners):
                if self.owners[listener.key] is not server:
                    listener.move(self.owners[listener.key])  # pyright: ignore[reportArgumentType]

    def run_out(self, number: int) -> None:
        """Let a timer run out."""
        work, args = self.timers.pop(number % len(self.timers))
        self.now += 0.5
        work(*args)

    def answer_elsewhere(self) -> None:
        """Take the next step of a question that was redirected."""
        task = self.tasks.pop(0)
        try:
            task.send(None)
        except StopIteration:
            return
        self.tasks.append(task)

    def unblock(self) -> None:
        """Let the blocking read end, with what there is."""
        served, stream, read = (
            self.blocking_read,
            self.blocking_read.stream,
            self.blocking_read.read,
        )
        served.stream = None
        if stream is not None:
            if reply := self.look_up(("XREAD", "COUNT", read.command[2], *read.command[-2:])):
                stream.accept(read, reply)
            stream.handle(Event.UNBLOCKED)


class Step:
    """One step of a coroutine."""

    def __await__(self) -> Any:
        yield
