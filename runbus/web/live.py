"""Live: one follower of the event streams, however many browsers listen.

The browsers are also told when the store does not answer, and in silence that this process lives: a
page that was left open is to show when it is old.

A browser costs a small set of messages that it has not been sent yet. One that is too slow to be
sent them is told to look again (`resync`), which is also what happens after the server was away.

Between the making of a page and its first listening, something may happen. So a page carries how
much had been told when it was made (`Live.told`), and is told first what came since.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import orjson

from runbus import settings
from runbus.errors import RunbusError, RunMissing
from runbus.protocol.printed import readable
from runbus.supervision import tasks

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from runbus.client import Client
    from runbus.protocol.log_line import LogLine

KEEP_ALIVE_SECONDS = 5
WATCH_SECONDS = 2
ANSWER_SECONDS = 2.5
"""How long the store may take to answer before browsers are told that it is away."""
MOST_UNSENT = 256
MOST_KEPT = 1000
RESTART_SECONDS = 1
WARNING_SECONDS = 60

_log = logging.getLogger("runbus")


class Message(NamedTuple):
    """What a browser is told."""

    event: str
    data: str = ""


ALIVE = Message("alive")
AWAY = Message("away")
PAGE = 50
"""How many of the runs that wait are looked after while somebody looks."""
RESYNC = Message("resync")
_LINES = {"log", "resync"}
"""After what there may be new lines."""


class Listener:
    """One browser's messages that are not sent yet. Equal ones are sent once."""

    def __init__(self) -> None:
        self._unsent: dict[Message, None] = {}
        self._news = asyncio.Event()

    def put(self, message: Message) -> None:
        """Add a message; too many become one `resync`."""
        if len(self._unsent) >= MOST_UNSENT:
            self._unsent = {RESYNC: None}
        elif RESYNC not in self._unsent:
            self._unsent[message] = None
        self._news.set()

    async def take(self, timeout: float) -> list[Message]:
        """Wait for messages and take them all; none after `timeout` seconds."""
        try:
            await asyncio.wait_for(self._news.wait(), timeout)
        except TimeoutError:
            return []
        self._news.clear()
        taken, self._unsent = list(self._unsent), {}
        return taken


class Fanout:
    """Follows a source while anybody listens, or from the first listener on if it `lasts`."""

    def __init__(
        self, source: Callable[[], AsyncIterator[Message]], *, lasts: bool = False
    ) -> None:
        self.told = 0
        """How many messages there were."""
        self._kept: deque[Message] = deque(maxlen=MOST_KEPT if lasts else 0)
        self._lasts = lasts
        self._source = source
        self._listeners: set[Listener] = set()
        self._follower: asyncio.Task[None] | None = None
        self._warned = -math.inf

    @property
    def is_idle(self) -> bool:
        """Whether nobody listens."""
        return not self._listeners

    def add(self, listener: Listener) -> None:
        """Tell a listener from now on."""
        self._listeners.add(listener)
        self.begin()

    def begin(self) -> None:
        """Follow the source from now on."""
        if self._follower is None or self._follower.done():  # a failover takes ends back
            self._follower = tasks.start(self._follow())

    def since(self, told: int) -> list[Message]:
        """Return what was told after so many messages, each different one once."""
        missed = self.told - told
        if not 0 <= missed <= len(self._kept):
            return [RESYNC]
        return list(dict.fromkeys(list(self._kept)[len(self._kept) - missed :]))

    def remove(self, listener: Listener) -> None:
        """Tell a listener no more."""
        self._listeners.discard(listener)
        if self.is_idle and self._follower is not None and not self._lasts:
            self._follower.cancel()
            self._follower = None

    async def _follow(self) -> None:
        while True:
            try:
                async for message in self._source():
                    self._tell(message)
                return  # the run has ended: nothing more will come
            except RunMissing:
                return
            except RunbusError as error:
                self._warn(error)
            except Exception:
                _log.exception("the event streams cannot be followed")
            await asyncio.sleep(RESTART_SECONDS)
            self._tell(RESYNC)

    def _warn(self, error: RunbusError) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._warned >= WARNING_SECONDS:
            self._warned = now
            _log.warning("the event streams cannot be followed: %s", error)

    def _tell(self, message: Message) -> None:
        self.told += 1
        self._kept.append(message)
        for listener in self._listeners:
            listener.put(message)


class Live:
    """All that is followed in this process."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._events = Fanout(self._follow_events, lasts=True)
        self._name = secrets.token_hex(4)  # after a restart all counts are others
        self._runs: dict[tuple[str, UUID], Fanout] = {}
        self._listeners: set[Listener] = set()
        self._stopped = False
        self._watcher: asyncio.Task[None] | None = None
        self._is_away = False
        self._looker: asyncio.Task[None] | None = None

    @property
    def told(self) -> str:
        """How much was told until now: a page that is made now passes it to `stream`."""
        self._events.begin()
        return f"{self._name}-{self._events.told}"

    def stop(self) -> None:
        """End all streams, so that the server can end."""
        self._stopped = True
        for listener in self._listeners:
            listener.put(RESYNC)

    async def stream(
        self, run_id: UUID | None, after: str | None, told: str = ""
    ) -> AsyncGenerator[str]:
        """Yield server-sent events: changes of state, and of one run its log lines and inputs."""
        async with self._listening(run_id) as listener:
            yield "retry: 2000\n: hello\n\n"
            lines = LogLines(self._client, run_id, after) if run_id else None
            messages = [Message("log"), *self._missed(told)]
            while not self._stopped:
                for message in messages:
                    if message.event != "log":
                        yield _as_text(message)
                    if lines is not None and message.event in _LINES:
                        async for text in lines.new():
                            yield text
                messages = await listener.take(KEEP_ALIVE_SECONDS) or [ALIVE]

    def _missed(self, told: str) -> list[Message]:
        name, _, count = told.partition("-")
        if not told or name == self._name:
            return self._events.since(int(count)) if count else []
        return [RESYNC]

    @asynccontextmanager
    async def _listening(self, run_id: UUID | None) -> AsyncGenerator[Listener]:
        listener = Listener()
        self._listeners.add(listener)
        if self._is_away:
            listener.put(AWAY)
        if self._watcher is None or self._watcher.done():
            self._watcher = tasks.start(self._watch())
        if self._looker is None or self._looker.done():
            self._looker = tasks.start(self._look_after_owners())
        fanouts = [self._events, *(self._of_run(run_id) if run_id else ())]
        for fanout in fanouts:
            fanout.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            for fanout in fanouts:
                fanout.remove(listener)
            self._runs = {key: each for key, each in self._runs.items() if not each.is_idle}

    async def _watch(self) -> None:
        while self._listeners:
            is_away = not await self._answers()
            if is_away != self._is_away:
                self._is_away = is_away
                for listener in self._listeners:
                    listener.put(AWAY if is_away else RESYNC)
            await asyncio.sleep(WATCH_SECONDS)
        self._watcher = None
        self._is_away = False

    async def _look_after_owners(self) -> None:
        """Look whether somebody waits for what is shown, and tell when that is another matter."""
        seconds = settings.current().lease_seconds / 3
        before: dict[UUID, str] = {}
        while self._listeners:
            with suppress(RunbusError, TimeoutError):  # a store that is away is told otherwise
                now = await self._verdicts()
                if any(before.get(run_id, "ALIVE") != each for run_id, each in now.items()):
                    for listener in self._listeners:
                        listener.put(RESYNC)
                before = now
            await asyncio.sleep(seconds * 1.05)  # each is looked at so often at most

    async def _verdicts(self) -> dict[UUID, str]:
        shown = {each.run.id: each.run for each in await self._client.read_waiting(limit=PAGE)}
        for run_id in {run_id for _, run_id in self._runs} - shown.keys():
            with suppress(RunMissing):
                run = await self._client.read_flow_run(run_id)
                if not run.state.is_final():
                    shown[run_id] = run
        return await self._client.check_owners(shown.values())

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._client.count_waiting()
        except (RunbusError, TimeoutError):
            return False
        return True

    def _of_run(self, run_id: UUID) -> list[Fanout]:
        return [
            self._runs.setdefault(("log", run_id), Fanout(lambda: self._follow_log(run_id))),
            self._runs.setdefault(("input", run_id), Fanout(lambda: self._follow_inputs(run_id))),
        ]

    async def _follow_events(self) -> AsyncIterator[Message]:
        async for event in self._client.follow_events():
            told = orjson.dumps({"run": str(event.flow_run_id), "state": event.state})
            yield RESYNC if event.kind == "resync" else Message("state", told.decode())

    async def _follow_log(self, run_id: UUID) -> AsyncIterator[Message]:
        async for _ in self._client.follow_logs(run_id):
            yield Message("log")

    async def _follow_inputs(self, run_id: UUID) -> AsyncIterator[Message]:
        async for _ in self._client.follow_inputs(run_id):
            yield Message("input", orjson.dumps({"run": str(run_id)}).decode())


class LogLines:
    """Where one browser is in the log of a run."""

    def __init__(self, client: Client, run_id: UUID, after: str | None) -> None:
        self._client = client
        self._run_id = run_id
        self._after = after

    async def new(self) -> AsyncIterator[str]:
        """Yield the lines that it has not seen, as server-sent events; none from a store away."""
        while lines := await self._read():
            for line in lines:
                self._after = line.id
                told = {
                    "time": line.time.isoformat(),
                    "level": line.level,
                    "message": readable(line.message),
                }
                yield _as_text(Message("log", orjson.dumps(told).decode()), line.id)

    async def _read(self) -> list[LogLine]:
        try:
            return await self._client.read_logs(self._run_id, after=self._after)
        except RunbusError:
            return []  # the browser is told, and once more when it is back


def _as_text(message: Message, event_id: str = "") -> str:
    # JSON has no line ends in it, so one `data:` line is enough.
    number = f"id: {event_id}\n" if event_id else ""
    return f"{number}event: {message.event}\ndata: {message.data}\n\n"
