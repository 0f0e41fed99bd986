"""The wait for an answer, on the run's resume stream.

The stream wakes, the record decides. After each new connection the question is asked once more, and
no outage ends the wait, however long it is: the question stands until it is answered or its time is
over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from runbus.errors import FlowPauseTimeout, RunMissing, ServerUnreachable
from runbus.protocol.fields import Fields, read_fields
from runbus.protocol.printed import one_line
from runbus.store.connection.backoff import backoff
from runbus.store.receiving.consumer import Consumer
from runbus.store.records import pauses

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from runbus.protocol.records import Pause
    from runbus.store.bus import Bus
    from runbus.store.records.pause_opening import Opened

    Entries = Mapping[bytes, list[bytes]]

Reopen = Callable[[], Awaitable["Opened"]]
"""Asks a question once more: finds the pause, or opens it again where a failover has lost it."""
Judge = Callable[[bytes], str]
"""Says what is wrong with an answer's JSON; nothing (an empty text) with a good one."""

_NONE: frozenset[bytes] = frozenset()
_BY_SCRIPT = ["pause", "generation", "value", "by"]
"""What an entry has that `close_pause.lua` wrote: of another question, it is history."""
LONGEST_DELAY = 2.0
"""How long (seconds) a wait that an outage has broken off rests before it goes on."""
_log = logging.getLogger("runbus")


class AnswerWait:
    """The wait of one flow in one pause."""

    __slots__ = (
        *("_bus", "_deadline", "_judge", "_opened", "_passed", "_poll_interval", "_reopen"),
        "_run_id",
    )

    def __init__(
        self,
        bus: Bus,
        flow_run_id: UUID,
        opened: Opened,
        *,
        poll_interval: float,
        judge: Judge,
        reopen: Reopen,
    ) -> None:
        """`judge` looks at entries that somebody added by hand: a good one is an answer, too."""
        self._bus = bus
        self._run_id = flow_run_id
        self._poll_interval = poll_interval
        self._judge = judge
        self._reopen = reopen
        self._passed = _NONE
        """Which entries it was told of that they are passed over."""
        self._note_opened(opened)

    async def answered(self) -> Pause:
        """Wait until the pause is answered; return it. Raises `FlowPauseTimeout`."""
        try:
            return await self._wait_connected()
        except ServerUnreachable as error:
            _log.warning("flow run %s waits on for an answer: %s", self._run_id, error)
        return await self._wait_again_and_again()

    async def _wait_again_and_again(self) -> Pause:
        for delay in backoff(longest=LONGEST_DELAY):
            await asyncio.sleep(delay)
            with suppress(ServerUnreachable):
                self._note_opened(await self._reopen())
                if (answered := await self._look({}, None)) is not None:
                    return answered
                return await self._wait_connected()
        raise AssertionError("it is waited again and again")

    def _note_opened(self, opened: Opened) -> None:
        left = opened.seconds_left
        self._opened = opened
        self._deadline = None if left is None else self._bus.loop.time() + left

    async def _wait_connected(self) -> Pause:
        consumer = Consumer(
            *(self._bus, self._run_id, {"resume": self._bus.keys.resume(self._run_id)}),
            self._poll_interval,
            marks=False,
            looks_again=True,
        )
        stream, opened = consumer.streams[0], self._opened
        stream.position.cursor = opened.after
        stream.beside_key = self._bus.keys.pause(self._run_id, opened.key)
        try:
            while await consumer.wait(self._seconds_left()):
                entries = {entry_id: fields for _, entry_id, fields in consumer.taken()}
                if consumer.take_cut():
                    self._note_opened(await self._reopen())
                if (answered := await self._look_at(entries, stream.take_beside())) is not None:
                    return answered
        finally:
            consumer.close()
        return await self._expire()

    def _seconds_left(self) -> float | None:
        return None if self._deadline is None else max(0, self._deadline - self._bus.loop.time())

    async def _look_at(self, entries: Entries, record: dict[bytes, bytes] | None) -> Pause | None:
        try:
            return await self._look(entries, record)
        except RunMissing:  # a failover has lost the pause, and the consumer is to learn of it yet
            self._note_opened(await self._reopen())
            return await self._look(entries, None)

    async def _look(self, entries: Entries, record: dict[bytes, bytes] | None) -> Pause | None:
        record = record or await self._read_record()
        answered = await self._answer_in(record, entries)
        for entry_id, fields in entries.items():
            if reason := self._mismatch(read_fields(fields)):
                self._pass_over(entry_id, reason)
        if answered is not None or not entries:
            return answered
        await self._take_by_hand(entries)
        return await self._answer_in(await self._read_record(), entries)

    async def _read_record(self) -> dict[bytes, bytes]:
        return await pauses.read_record(self._bus, self._run_id, self._opened.key)

    async def _answer_in(self, record: Mapping[bytes, bytes], entries: Entries) -> Pause | None:
        key, fields = self._opened.key, read_fields(record)
        named = fields.get("entry", b"")
        if named and named not in entries:  # it came before this process looked
            pause = await pauses.read(self._bus, self._run_id, key)
        else:
            pause = pauses.read_answer(key, fields, entries)
        if pause is None:
            raise RunMissing(self._run_id)
        if pause.state == "expired":
            raise FlowPauseTimeout(flow_run_id=self._run_id, key=key)
        is_answer = pause.state == "answered" and pause.generation == self._opened.generation
        return pause if is_answer else None

    async def _take_by_hand(self, entries: Entries) -> None:
        for entry_id, fields in entries.items():
            entry = read_fields(fields)
            if not self._is_meant(entry):
                continue
            if problem := self._judge(entry.get("value", b"")):
                self._pass_over(entry_id, problem)
                continue
            # Whether it counts, the record says that is read next.
            await pauses.take(self._bus, self._run_id, self._opened, entry_id)

    def _pass_over(self, entry_id: bytes, reason: str) -> None:
        if entry_id in self._passed:  # after a cut it is read once more
            return
        self._passed |= {entry_id}
        _log.warning("an answer on %s's resume stream was passed over: %s", self._run_id, reason)

    def _is_meant(self, entry: Fields) -> bool:
        # By hand one may leave out which pause it is: the one that waits.
        key, generation = self._opened.key.encode(), b"%d" % self._opened.generation
        is_of_pause = entry.get("pause", key) == key
        return is_of_pause and entry.get("generation", generation) == generation

    def _mismatch(self, entry: Fields) -> str:
        """Return why an entry that somebody added by hand is not meant; empty for all others."""
        if self._is_meant(entry) or list(entry) == _BY_SCRIPT:
            return ""
        key, generation = self._opened.key, self._opened.generation
        named = one_line(entry.get("pause", key.encode()).decode(errors="replace"))
        if named != key:
            return f"it names pause {named}, and the run waits in {one_line(key)}"
        asked = one_line(entry["generation"].decode(errors="replace"))
        return f"it names generation {asked} of pause {named}, and the run waits in {generation}"

    async def _expire(self) -> Pause:
        opened = self._opened
        place = (self._bus, self._run_id, opened.key, opened.generation)
        if not await pauses.expire(*place, opened.epoch):
            answered = await self._answer_in(await self._read_record(), {})
            if answered is not None:
                return answered
        raise FlowPauseTimeout(flow_run_id=self._run_id, key=opened.key)
