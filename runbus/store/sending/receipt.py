"""The receipt of a send: under way when the caller gets it, settled when the server answered."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from runbus.errors import RunFinished, UnsentInputs
from runbus.protocol.entries import is_made_up
from runbus.store.connection.connection import settle

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator
    from uuid import UUID

    from runbus.protocol.durability import Durability

    Waiter = asyncio.Future[None] | threading.Lock

_log = logging.getLogger("runbus")


class Sent:
    """One input that was sent.

    `await sent` waits until it is stored, and raises what went wrong: `SendRefused`, `NotDurable`
    or `ServerUnreachable`. It may be awaited several times and by several tasks; a cancelled
    `await` does not take the input back. An error that nobody awaits is logged.
    """

    __slots__ = (
        "__weakref__",
        "_failure",
        "duplicate",
        "durability",
        "entry_id",
        "flow_run_id",
        "key",
        "refused",
        "sender",
        "settled",
        "size",
        "stream",
    )
    flow_run_id: UUID
    """The run that it was sent to."""
    stream: str
    """The name of the run's input stream."""
    key: str
    """The input's key."""
    sender: str | None
    """Who sent it: a run id or the text that was passed."""
    size: int
    """The size of its JSON in bytes."""
    durability: Durability | None
    """How durable it is known to be, once it is settled: what was wanted, or more replicas."""
    entry_id: str | None
    """The id of its entry, once it is stored."""
    duplicate: bool
    """Whether an input with this key was stored before; then `entry_id` is that one's."""
    refused: bool
    """Whether it is a response to a run that had ended, so that it is not stored."""
    settled: bool
    """Whether the server answered, or no answer is expected any more."""
    _failure: Failure | None

    def __repr__(self) -> str:
        state = "under way"
        if self.refused:
            state = "refused, as that run has ended"
        elif self.settled:
            state = (
                f"failed: {self._failure.error}" if self._failure else f"stored as {self.entry_id}"
            )
        return f"<Sent {self.key} to {self.flow_run_id}: {state}>"

    if TYPE_CHECKING:  # every one is a `Send`

        def __await__(self) -> Generator[object, None, Self]: ...

    def result(self) -> Self:
        """Return the receipt of a stored input, or raise why it is not stored."""
        if self._failure is not None:
            self._failure.is_seen = True
            raise self._failure.error
        return self


class Send(Sent):
    """A receipt as those who send the input know it: what is to be sent, and who waits."""

    __slots__ = (
        "_bystanders",
        "_waiting",
        "awaited",
        "is_response",
        "on_awaited",
        "on_settled",
        "own_key",
        "sent_again",
        "value",
        "wanted",
    )

    def __init__(
        self,
        flow_run_id: UUID,
        stream: str,
        key: str,
        own_key: bool,
        sender: str | None,
        value: bytes,
        wanted: Durability = "memory",
    ) -> None:
        self.flow_run_id = flow_run_id
        self.stream = stream
        self.key = key
        self.own_key = own_key
        """Whether the caller chose the key."""
        self.sent_again = own_key and is_made_up(stream, key)
        """Whether the key is that of an earlier send, whose entry may have left no mark."""
        self.sender = sender
        self.value = value
        """Its JSON; emptied once it is settled."""
        self.size = len(value)
        self.wanted: Durability = wanted
        """How durable its sender wants it."""
        self.durability = None
        self.entry_id = None
        self.duplicate = False
        self.is_response = False
        """Whether a run that has ended does without it."""
        self.refused = False
        self.settled = False
        self.awaited = False
        """Whether anybody waits or waited for it."""
        self.on_awaited: Callable[[Send], None] | None = None
        """Called once, when it is first awaited or settled."""
        self.on_settled: Callable[[Send], None] | None = None
        """Called once, when it is settled."""
        self._failure = None
        self._waiting: list[Waiter] = []
        self._bystanders: list[asyncio.Future[None]] = []

    def __await__(self) -> Generator[object, None, Self]:
        self._note_await()
        if not self.settled:
            yield from self._join(self._waiting)
        return self.result()

    async def settlement(self) -> None:
        """Wait until it is settled, whatever the outcome."""
        if not self.settled:
            await self._join(self._bystanders)

    def wait_with(self, done: threading.Lock) -> None:
        """Release a lock when it is settled, whose holder then looks at the result."""
        self._note_await()
        self._waiting.append(done)

    @property
    def unseen_error(self) -> Exception | None:
        """What went wrong, as long as nobody looked."""
        failure = self._failure
        return None if failure is None or failure.is_seen else failure.error

    @property
    def is_watched(self) -> bool:
        """Whether anybody waits for it at this moment, and will see the outcome."""
        return not all(isinstance(each, asyncio.Future) and each.done() for each in self._waiting)

    def settle(self, entry_id: str | None, error: Exception | None, *, duplicate: bool) -> None:
        """Record the outcome and wake whoever waits."""
        if error is not None and self.is_response and isinstance(error, RunFinished):
            _log.warning("a response was dropped: %s", error)
            self.refused, error = True, None
        self.entry_id, self.duplicate = entry_id, duplicate
        self._failure = None if error is None else Failure(error)
        self.value = b""
        self.settled = True
        self._call_on_awaited()
        if self.on_settled is not None:
            on_settled, self.on_settled = self.on_settled, None
            on_settled(self)
        # Whoever joins from here on sees that it is settled.
        for each in self._waiting:
            _wake(each)
        self._waiting.clear()
        for each in self._bystanders:
            _wake(each)
        self._bystanders.clear()

    def _join(self, waiting: list[asyncio.Future[None]] | list[Waiter]) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(future)
        if self.settled:  # by another thread, meanwhile
            settle(future, None)
        return future

    def _note_await(self) -> None:
        self.awaited = True
        self._call_on_awaited()

    def _call_on_awaited(self) -> None:
        on_awaited = self.on_awaited
        if on_awaited is not None:
            self.on_awaited = None
            on_awaited(self)

    def log_unseen_error(self) -> None:
        """Log what went wrong, if nobody looked."""
        if self._failure is not None:
            self._failure.log_if_unseen()


class Failure:
    """Why an input was not sent: logged with the last reference to it, if nobody looked.

    Not the receipt itself has a `__del__`: it would run for each send, and swallow an interrupt
    (Ctrl-C) that comes meanwhile.
    """

    __slots__ = ("error", "is_seen")

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.is_seen = False

    def log_if_unseen(self) -> None:
        """Log it, unless somebody looked; once."""
        if not self.is_seen and not isinstance(self.error, UnsentInputs):
            self.is_seen = True
            _log.error("an input was not sent and nobody looked: %s", self.error)

    def __del__(self) -> None:
        if hasattr(self, "is_seen"):  # else it is not whole: `__init__` was interrupted
            self.log_if_unseen()


def _wake(waiter: Waiter) -> None:
    """Wake a task, from any thread, or a thread."""
    if not isinstance(waiter, asyncio.Future):
        waiter.release()
        return
    loop = waiter.get_loop()
    if loop is asyncio._get_running_loop():  # pyright: ignore[reportPrivateUsage]
        settle(waiter, None)
    else:
        with suppress(RuntimeError):  # its loop is gone
            loop.call_soon_threadsafe(settle, waiter, None)
