"""The inbox: what `receive_input` returns, an iterator over a run's inputs of one type."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from pydantic import ValidationError

from runbus.background import bridge
from runbus.errors import InvalidArgument, MalformedEntry, ReceiveTimeout, UsageError, WrongSyntax
from runbus.execution.current_run import current_flow_run, current_run
from runbus.execution.verbs import blocking, pending
from runbus.protocol.values import is_broken_json
from runbus.store.bus import Bus, current_bus
from runbus.store.receiving.consumer import Consumer

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping
    from uuid import UUID

    from runbus.protocol.entries import Entry
    from runbus.store.receiving.position import Position

T = TypeVar("T")
SHORT_WAIT_SECONDS = 0.05
"""For a wait up to this, a run does not let others execute: in a conversation, or a backlog."""
_NOTHING: Any = object()


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long a receiver waits."""

    timeout: float | None
    """Seconds to wait for the next input; None for ever, 0 not at all."""
    poll_interval: float
    """Seconds within which a connection that died silently is found out."""
    deadline: datetime | None = None
    """When waiting ends, whatever came until then."""

    def __post_init__(self) -> None:
        if self.deadline is not None:
            _check_deadline(self.deadline)
        if self.timeout is not None:
            _check_seconds("timeout", self.timeout, "pass seconds, 0 or more, or None")
        _check_seconds("poll_interval", self.poll_interval, "pass seconds, 0 or more")

    def seconds(self) -> float | None:
        """Return how long to wait from now on."""
        if self.deadline is None:
            return self.timeout
        left = max(0.0, self.deadline.timestamp() - time.time())
        return left if self.timeout is None else min(left, self.timeout)

    def ends_by_deadline(self) -> bool:
        """Whether it is the deadline that ends the wait, and not that for the next input."""
        left = self.seconds()
        return self.deadline is not None and (self.timeout is None or left != self.timeout)

    def is_late(self, entry: Entry) -> bool:
        """Whether an entry came after the deadline, by the server's clock, which made its id."""
        if self.deadline is None:
            return False
        return int(entry.id.partition("-")[0]) > self.deadline.timestamp() * 1000


class Inbox(Generic[T]):
    """The inputs of one type that a run receives, from the first one on.

    Iterate with `for` in a thread and with `async for` on an event loop, or take single inputs
    with `next()`. What cannot be read as the type is raised once, as pydantic's
    `ValidationError` or as `MalformedEntry`, and the next call moves on past it. A call that is
    cancelled loses nothing.
    """

    __slots__ = (
        *("__weakref__", "_consumer", "_decoders", "_excluded", "_lock", "_patience"),
        *("_raise_timeout_error", "_waiting", "flow_run_id"),
    )

    def __init__(
        self,
        *,
        flow_run_id: UUID,
        decoders: Mapping[str, Callable[[bytes, Entry, UUID], T]],
        patience: Patience,
        raise_timeout_error: bool,
        exclude_keys: Iterable[str] | None,
    ) -> None:
        self.flow_run_id = flow_run_id
        self._decoders = decoders
        self._patience = patience
        self._raise_timeout_error = raise_timeout_error
        self._excluded = _as_container(exclude_keys)
        self._consumer: Consumer | None = None
        self._lock = Lock()
        self._waiting = 0

    def __iter__(self) -> Self:
        _check_syntax("for … in receive_input(…)", "async for … in receive_input(…)")
        return self

    def __next__(self) -> T:
        _check_syntax("next(inbox)", "await anext(inbox)")
        try:
            return self._next_in_thread()
        except ReceiveTimeout:
            if self._raise_timeout_error:
                raise
            raise StopIteration from None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        current_run()
        # Here, as a backlog need not go through one more coroutine for each input.
        if (value := self._take()) is not _NOTHING:
            return value
        try:
            return await self._next_on_loop()
        except ReceiveTimeout:
            if self._raise_timeout_error:
                raise
            raise StopAsyncIteration from None

    def next(self) -> T:
        """Return the next input; on an event loop, `await` it. Raises `ReceiveTimeout`.

        A type checker reads it as the input: async code that one checks writes
        `await anext(inbox)`.
        """
        if bridge.on_loop():
            return pending("next()", self._next_on_loop)  # pyright: ignore[reportReturnType]
        return self._next_in_thread()

    async def _next_on_loop(self) -> T:
        current_run()
        if (value := self._take()) is not _NOTHING:
            return value
        deadline = self._deadline()
        while await self._wait(_remaining(deadline)):
            if (value := self._take()) is not _NOTHING:
                return value
        raise self._timed_out()

    def _next_in_thread(self) -> T:
        current_run()
        if (value := self._take()) is not _NOTHING:
            return value
        deadline = self._deadline()
        # Only the wait is done on the background loop. The input is taken here, so that an
        # interrupt (Ctrl-C) cannot come between the two.
        while blocking(partial(self._wait, _remaining(deadline))):
            if (value := self._take()) is not _NOTHING:
                return value
        raise self._timed_out()

    def _take(self) -> T:
        """Take the next input that is at hand, `_NOTHING` if there is none."""
        with self._lock:  # threads may share an inbox
            consumer = self._consumer
            if consumer is None:
                return _NOTHING
            while (position := consumer.next_position()) is not None:
                entry = position.peek()
                if self._patience.deadline is not None and self._patience.is_late(entry):
                    raise self._timed_out()
                if entry.key not in self._excluded:
                    return self._decode_and_advance(position, entry)
                position.advance()
        return _NOTHING

    def _decode_and_advance(self, position: Position, entry: Entry) -> T:
        # In this order, and only past what can be judged: an interrupt must not lose an input.
        try:
            value = self._decode(position.name, position.key, entry)
        except Exception:
            position.advance()
            raise
        position.advance()
        return value

    def _decode(self, name: str, stream: bytes, entry: Entry) -> T:
        if entry.value is None:
            raise _malformed(stream, entry, "it has no field `value`")
        try:
            return self._decoders[name](entry.value, entry, self.flow_run_id)
        except ValidationError as error:
            if is_broken_json(error):
                raise _malformed(stream, entry, "its value is not JSON in UTF-8") from None
            error.add_note(f"The input is {entry.key!r}, entry {entry.id} of {stream.decode()}.")
            raise

    async def _wait(self, timeout: float | None) -> bool:
        consumer, flow_run = self._begin_wait(current_bus()), current_flow_run()
        try:
            if flow_run is None or flow_run.activity is None or timeout == 0:
                has_come = await consumer.wait(timeout)
            else:
                async with flow_run.waiting(after=SHORT_WAIT_SECONDS):
                    has_come = await consumer.wait(timeout)
        finally:
            with self._lock:
                self._waiting -= 1
        if flow_run is not None:
            await flow_run.confirm()
        return has_come

    def _begin_wait(self, bus: Bus) -> Consumer:
        with self._lock:  # several loops may begin at once
            consumer = self._consumer
            if consumer is None or consumer.bus is not bus:
                consumer = self._consumer = self._open_consumer(bus, consumer)
            self._waiting += 1
            return consumer

    def _open_consumer(self, bus: Bus, before: Consumer | None) -> Consumer:
        if before is not None and self._waiting:
            raise UsageError(
                "this inbox is being waited for on another event loop: call receive_input on "
                "each, and each gets every input."
            )
        streams = {name: bus.keys.input(self.flow_run_id, name) for name in self._decoders}
        consumer = Consumer(bus, self.flow_run_id, streams, self._patience.poll_interval)
        if before is not None:
            consumer.continue_from(before)
            _close(before)
        return consumer

    def _deadline(self) -> float | None:
        timeout = self._patience.seconds()
        return timeout and time.monotonic() + timeout

    def _timed_out(self) -> ReceiveTimeout:
        return ReceiveTimeout(
            flow_run_id=self.flow_run_id,
            streams=tuple(self._decoders),
            timeout=self._patience.timeout,
            deadline=self._patience.deadline if self._patience.ends_by_deadline() else None,
        )

    def __del__(self) -> None:
        if (consumer := getattr(self, "_consumer", None)) is not None:
            _close(consumer)


def _check_syntax(used: str, instead: str) -> None:
    if bridge.on_loop():
        raise WrongSyntax(used, instead)


def _remaining(deadline: float | None) -> float | None:
    return deadline and max(0.0, deadline - time.monotonic())


def _as_container(keys: Iterable[str] | None) -> Container[str]:
    if keys is None:
        return ()
    if isinstance(keys, AbstractSet):
        return keys  # as it is: it may be large
    if isinstance(keys, (str, bytes)) or not isinstance(keys, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgument("exclude_keys", keys, "pass a list or a set of keys")
    return frozenset(keys)


def _check_seconds(argument: str, value: object, advice: str) -> None:
    # Not `value < 0`, which NaN is not either.
    if not isinstance(value, (int, float)) or not value >= 0:
        raise InvalidArgument(argument, value, advice)


def _check_deadline(value: object) -> None:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        advice = "pass an aware datetime, such as datetime.now(UTC) + timedelta(minutes=5)"
        raise InvalidArgument("deadline", value, advice)


def _malformed(stream: bytes, entry: Entry, reason: str) -> MalformedEntry:
    return MalformedEntry(stream=stream.decode(), entry_id=entry.id, reason=reason)


def _close(consumer: Consumer) -> None:
    # The consumer belongs to a loop, and this may run in any thread, or when that loop is gone.
    with contextlib.suppress(RuntimeError):
        consumer.bus.loop.call_soon_threadsafe(consumer.close)
