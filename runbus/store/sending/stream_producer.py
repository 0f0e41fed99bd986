"""A stream producer: the sends to one stream, each stored exactly once and in order.

It has at most one call unacknowledged; what is sent meanwhile goes together in its next call.
So the order on the stream is the order of the sends, whatever happens to single calls, and a busy
stream costs one script call for many inputs.

Why each input is stored once. An attempt is one call of `send.lua` and is executed before its
retry, after it, or never; the producer cannot know which when its reply does not come.

- Every attempt looks its keys up among the run's marks. A key whose mark is an entry id is stored
  already, and is not stored again.
- The retry first writes an empty mark for each key that has none. From here on whoever stores
  the key, be it this retry, the next one, or an earlier attempt that is executed late, sees the
  mark and replaces it by the id of the entry, in the step that stores it.
- Then the retry looks for the keys among the entries, back to those that were there before the
  first attempt. What was stored before the empty mark is found there, since nothing is trimmed.
- Only what has no id after that is stored. So each key is stored before its empty mark, and
  found, or after it, and marked; and never by two calls, since a script runs alone.

The look back may take several calls, a page each, so that no call holds the server up: what is
stored meanwhile is marked. An error reply means that the call stored nothing, so it is no attempt
at all. A caller's own key is marked when it is stored first, because its retry may come hours
later from another process; it needs no look back. The one exception is a key that an earlier
send made up and that its caller now sends again: that looks back over the whole stream.

A user who may not read inputs cannot look back. So what it sends is marked when it is stored
first, all of it, and a retry finds the mark.

What this does not cover: a failover that lost the entry or the mark, and entries or marks that
somebody deletes by hand while a retry is under way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from hiredis import ReplyError

from runbus.errors import (
    KeyInUse,
    RunbusError,
    RunFinished,
    RunFull,
    ServerRefused,
    ServerUnreachable,
    StreamFull,
)
from runbus.protocol.keys import tag
from runbus.store.connection import script_calls, scripts
from runbus.store.connection.backoff import backoff
from runbus.store.connection.connection import ConnectionLost, is_transient
from runbus.store.connection.counters import counts
from runbus.store.connection.error_replies import refused
from runbus.store.sending.durability import DurabilityWaiter, Stored
from runbus.supervision import tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.settings import Settings
    from runbus.store.connection.connection import Command, Connection
    from runbus.store.connection.connector import Connector
    from runbus.store.connection.reply import Reply
    from runbus.store.sending.receipt import Send

# Not larger: while the server works on one call, this side wakes the callers of the one before.
MAX_BATCH = 64
MAX_BATCH_BYTES = 256 * 1024
CLOCK_MARGIN_MS = 10_000
_DIGITS = b"0123456789"


@dataclass
class Batch:
    """Inputs that go in one call, alike in how they are made safe."""

    inputs: list[Send]
    renew: bool = False
    """Whether the stream's lifetime is to be renewed."""
    maybe_stored: bool = False
    """An attempt was made and not answered, so the next one is a retry."""
    marks: bool | None = None
    """Whether its keys are marked when they are stored; known at the first attempt."""

    @property
    def looks_back(self) -> bool:
        """Whether the next attempt has to look among the entries."""
        return self.inputs[0].sent_again or (self.maybe_stored and not self.marks)

    @classmethod
    def take(cls, queue: deque[Send]) -> Batch:
        """Take what fits in one call from the head of the queue."""
        first = queue.popleft()
        inputs, size = [first], first.size
        while queue and len(inputs) < MAX_BATCH:
            each = queue[0]
            size += each.size
            is_alike = each.own_key == first.own_key and each.sent_again == first.sent_again
            if size > MAX_BATCH_BYTES or not is_alike:
                break
            inputs.append(queue.popleft())
        return cls(inputs)


class StreamProducer:
    """The sends to one stream, one call at a time."""

    def __init__(
        self,
        connector: Connector,
        settings: Settings,
        keys: tuple[str, str, str, str],
        name: str,
        input_base: str,
        durability: DurabilityWaiter,
    ) -> None:
        self._connector = connector
        self._durability = durability
        self._settings = settings
        self._keys = keys
        self._name = name
        self._input_base = input_base
        self._queue: deque[Send] = deque()
        self._under_way: Batch | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._last_id: str | None = None
        self._renew_at = 0.0
        self._clock = asyncio.get_running_loop().time

    @property
    def busy(self) -> bool:
        """Whether a call is unacknowledged."""
        return self._under_way is not None

    def add(self, sent: Send) -> None:
        """Send now when nothing is under way, else with the next call."""
        self._queue.append(sent)
        if self._under_way is None:
            self._send_next()

    def unsettled(self) -> list[Send]:
        """Return what is not stored yet, the oldest first."""
        return [*(self._under_way.inputs if self._under_way else ()), *self._queue]

    def abandon(self) -> None:
        """Stop sending."""
        self._under_way = None
        self._queue.clear()
        if self._recovery is not None and not self._recovery.get_loop().is_closed():
            self._recovery.cancel()

    def _send_next(self) -> None:
        batch = self._under_way = Batch.take(self._queue)
        batch.renew = self._renews_lifetime()
        connection = self._connector.live
        if connection is None or batch.looks_back:
            self._recover(batch)
        else:
            scripts.SEND.run(connection, self._call(batch, connection), self._on_reply)

    def _on_reply(self, replies: Reply) -> None:
        batch = self._under_way
        if batch is None:  # abandoned
            return
        if isinstance(replies, (ConnectionLost, ReplyError)):
            batch.maybe_stored |= isinstance(replies, ConnectionLost)
            self._recover(batch, replies)
        else:
            self._finish(partial(self._settle, batch, replies))

    def _finish(self, settle: Callable[[], None]) -> None:
        # The next call goes out first: the server works while this side wakes its callers.
        self._under_way = None
        if self._queue:
            self._send_next()
        settle()

    def _settle(self, batch: Batch, replies: list[bytes]) -> None:
        for sent, reply in zip(batch.inputs, replies, strict=True):
            if reply[0] in _DIGITS:
                self._last_id = entry_id = reply.decode()
                self._note_stored(batch, sent, entry_id, duplicate=False)
            elif reply.startswith(b"="):
                # The producer's own retry found it: that is no duplicate to the caller.
                duplicate = sent.own_key and not batch.maybe_stored
                self._note_stored(batch, sent, reply[1:].decode(), duplicate=duplicate)
            else:
                sent.settle(None, self._refusal(sent, reply.decode()), duplicate=False)

    def _note_stored(self, batch: Batch, sent: Send, entry_id: str, *, duplicate: bool) -> None:
        counts.sends += 1
        if sent.wanted == "memory":
            sent.durability = "memory"
            sent.settle(entry_id, None, duplicate=duplicate)
        else:
            self._durability.settle(sent, self._stored(batch, sent, entry_id), entry_id, duplicate)

    def _stored(self, batch: Batch, sent: Send, entry_id: str) -> Stored:
        _, stream, _, retried = self._keys
        return Stored(
            what=f"the input {sent.key!r}",
            tag=tag(sent.flow_run_id),
            key=stream,
            # The mark is for who may not read the stream.
            proof=("HGET", retried, sent.key)
            if batch.marks
            else ("XRANGE", stream, entry_id, entry_id),
        )

    def _refusal(self, sent: Send, reply: str) -> RunbusError:
        run_id, key = sent.flow_run_id, sent.key
        match reply.split(" ", 1):
            case ["FINISHED", state]:
                return RunFinished(flow_run_id=run_id, key=key, state=state)
            case ["INUSE", name]:
                return KeyInUse(flow_run_id=run_id, key=key, stored_as=name)
            case ["FULL"]:
                limit = self._settings.max_stream_length
                return StreamFull(flow_run_id=run_id, key=key, stream=self._keys[1], limit=limit)
            case ["RUNFULL"]:
                return RunFull(flow_run_id=run_id, key=key, limit=self._settings.max_run_bytes)
            case _:
                return ServerRefused(address=self._connector.server.address, reply=reply)

    # The slow path: no connection, a lost reply, an error reply.

    def _recover(self, batch: Batch, cause: Exception | None = None) -> None:
        counts.retries += cause is not None
        self._recovery = tasks.start(self._repeat(batch, cause))
        self._recovery.add_done_callback(partial(self._recover_again, batch))

    def _recover_again(self, batch: Batch, recovery: asyncio.Task[None]) -> None:
        # A loop that shuts down cancels every task; its last act is to drain the outbox.
        if recovery.cancelled() and self._under_way is batch:
            batch.maybe_stored = True
            self._recover(batch)

    async def _repeat(self, batch: Batch, cause: Exception | None) -> None:
        try:
            replies = await self._repeat_until_answered(batch, cause)
        except ServerUnreachable as error:
            # Those behind it have waited as well, and would fail one batch after the other.
            queued = Batch([*self._queue])
            self._queue.clear()
            self._finish(partial(_fail, [batch, queued], error))
        except RunbusError as error:
            self._finish(partial(_fail, [batch], error))
        else:
            self._finish(partial(self._settle, batch, replies))

    async def _repeat_until_answered(self, batch: Batch, cause: Exception | None) -> list[bytes]:
        deadline = self._clock() + self._settings.retry_seconds
        for delay in backoff():
            if isinstance(cause, ReplyError) and not is_transient(cause):
                command = ("EVALSHA", scripts.SEND.sha, len(self._keys), *self._keys)
                raise refused(self._connector.server.address, cause, command)
            if self._clock() + delay > deadline:
                break
            await asyncio.sleep(delay)
            try:
                connection = await self._connector.connected(cause)
            except ConnectionLost as error:
                cause = error  # nothing was sent
                continue
            try:
                return await self._attempt(connection, batch)
            except (ConnectionLost, ReplyError) as error:
                batch.maybe_stored |= isinstance(error, ConnectionLost)
                cause = error
        raise self._connector.unreachable(self._settings.retry_seconds, cause)

    async def _attempt(self, connection: Connection, batch: Batch) -> list[bytes]:
        scan_from = "+" if batch.looks_back else ""
        while True:
            replies = await scripts.SEND.call(connection, self._call(batch, connection, scan_from))
            if replies[0] != b"MORE":
                return replies
            scan_from = replies[1].decode()

    def _call(self, batch: Batch, connection: Connection, scan_from: str = "") -> Command:
        if batch.marks is None:
            batch.marks = batch.inputs[0].own_key or not connection.may_read_inputs
        run, stream, streams, retried = self._keys
        return script_calls.send(
            run=run,
            stream=stream,
            streams=streams,
            retried=retried,
            name=self._name,
            input_base=self._input_base,
            max_unread=self._settings.max_stream_length,
            max_bytes=self._settings.max_run_bytes,
            lifetime_ms=int(self._settings.retention_seconds * 1000),
            renew=batch.renew,
            mark_all=batch.marks,
            scan_from=scan_from,
            scan_to=self._before_first_attempt(batch) if scan_from else "",
            inputs=[(each.key, each.sender or "", each.value) for each in batch.inputs],
        )

    def _before_first_attempt(self, batch: Batch) -> str:
        # Every entry of this producer that is not acknowledged has a later id than the last one
        # that is. The margin is for another primary whose clock is behind.
        if self._last_id is None or batch.inputs[0].sent_again:
            return "-"
        return str(max(0, int(self._last_id.partition("-")[0]) - CLOCK_MARGIN_MS))

    def _renews_lifetime(self) -> bool:
        # Renewing takes the server longer than storing, so not each send does it.
        now = self._clock()
        if now < self._renew_at:
            return False
        self._renew_at = now + self._settings.retention_seconds / 100
        return True


def _fail(batches: list[Batch], error: RunbusError) -> None:
    for batch in batches:
        for sent in batch.inputs:
            sent.settle(None, _own_error(error, batch), duplicate=False)


def _own_error(error: RunbusError, batch: Batch) -> RunbusError:
    if isinstance(error, ServerUnreachable) and batch.maybe_stored:
        return ServerUnreachable(
            address=error.address, seconds=error.seconds, cause=error.cause, maybe_stored=True
        )
    return error
