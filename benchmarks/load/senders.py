"""Those who send: each does its schedule's operations, one after the other, by mode."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from benchmarks.load.receivers import DEPLOYMENT, END, Note, Notebook
from benchmarks.load.truth import Link, Sent
from runbus import (
    RunbusError,
    get_client,
    receive_input,
    resume_flow_run,
    run_deployment,
    send_input,
    wait_for_flow_run,
)
from runbus.errors import NotPaused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.load.plan import Operation, Plan
    from benchmarks.load.tally import Tally

_PATIENCE_SECONDS = 30.0
_LOOK_AGAIN_SECONDS = 0.001
_STARTED_TOGETHER = 50


async def keep_to_schedule(
    plan: Plan,
    sender: int,
    tally: Tally,
    operate: Callable[[Operation, int], Awaitable[str | None]],
) -> int:
    """Do a sender's operations, each at its time or as soon as the one before is over.

    `operate` gets when it was due and returns what it reached, if it did. Those that have not
    begun when the time of grace is over are not done any more. They count as late as they are by
    then, and this returns how many they are.
    """
    missed = 0
    last = tally.start + int((plan.duration + plan.grace) * 1e9)
    for operation in plan.schedule(sender):
        due = tally.start + int(operation.due * 1e9)
        if (early := due - time.monotonic_ns()) > 0:
            await asyncio.sleep(early / 1e9)
        tally.record("until begun", due)
        if time.monotonic_ns() > last:
            missed += 1
        elif reached := await operate(operation, due):
            tally.record(reached, due)
    return missed


class Senders:
    """The senders of one process."""

    def __init__(self, plan: Plan, part: int, tally: Tally) -> None:
        self.inboxes = {sender: str(uuid4()) for sender in plan.share(plan.senders, part)}
        """The run of each sender, where the answers come."""
        self.done = 0
        self.missed = 0
        self.errors: Counter[str] = Counter()
        self._plan, self._tally = plan, tally
        self._ids: dict[int, UUID] = {}
        self._sent: defaultdict[Link, Sent] = defaultdict(Sent)
        self._answered: defaultdict[Link, Sent] = defaultdict(Sent)
        self._notebook = Notebook(tally)
        self._text = "x" * plan.payload
        self._suspended: dict[int, list[UUID]] = {}
        self._resumed: list[UUID] = []
        self._inbox_tasks: list[asyncio.Task[None]] = []

    async def prepare(self, ids: dict[int, str]) -> None:
        """Connect, and suspend as many runs as will be answered."""
        self._ids = {run: UUID(text) for run, text in ids.items()}
        await send_input(Note(sender=END, number=0, due=0), uuid4())
        if self._plan.mode == "suspend":
            for sender in self.inboxes:
                count = sum(1 for _ in self._plan.schedule(sender))
                self._suspended[sender] = await _suspend(count)
        if self._plan.mode == "roundtrip":
            readers = (self._read_answers(sender) for sender in self.inboxes)
            self._inbox_tasks = [asyncio.ensure_future(each) for each in readers]

    async def send(self) -> None:
        """Do all operations."""
        await asyncio.gather(*(self._send(sender) for sender in self.inboxes))
        with suppress(TimeoutError):  # the check of the truth says what did not go on
            for run_id in self._resumed:
                await wait_for_flow_run(run_id, timeout=_PATIENCE_SECONDS)

    async def finish(self) -> dict[str, Any]:
        """Wait for the note after the last answer; return what was sent and answered."""
        if self._inbox_tasks:
            await asyncio.wait(self._inbox_tasks, timeout=_PATIENCE_SECONDS)
        sent = {**self._sent, **self._answered}
        return {
            "sent": [[*link, each.count, each.unsure] for link, each in sent.items()],
            "got": self._notebook.rows(),
            "done": self.done,
            "missed": self.missed,
            "errors": self.errors,
        }

    async def _send(self, sender: int) -> None:
        ways = {"send": self._input, "roundtrip": self._input, "pause": self._answer_pause}
        ways |= {"suspend": self._answer_suspended, "deploy": self._deploy}
        way = ways[self._plan.mode]

        async def operate(operation: Operation, due: int) -> str | None:
            target = f"run {operation.run}" if operation.run in self._ids else DEPLOYMENT
            sent = self._sent[Link(f"sender {sender}", target)]
            note = Note(sender=sender, number=sent.count, due=due, text=self._text)
            sent.count += 1
            try:
                reached = await way(operation.run, note)
            except RunbusError as error:
                sent.unsure.append(note.number)
                self.errors[type(error).__name__] += 1
                return None
            self.done += 1
            return reached

        self.missed += await keep_to_schedule(self._plan, sender, self._tally, operate)

    async def _input(self, run: int, note: Note) -> str:
        await send_input(note, self._ids[run], self.inboxes[note.sender])
        if self._plan.mode == "roundtrip":  # what is stored will be answered
            self._answered[Link(f"run {run}", f"sender {note.sender}")].count += 1
        return "until stored"

    async def _answer_pause(self, run: int, note: Note) -> str:
        # Pauses are numbered from 1. So an answer that is taken twice shows: the key is passed.
        patient_until = time.monotonic() + _PATIENCE_SECONDS
        answer = note.model_dump()
        while True:
            try:
                await resume_flow_run(self._ids[run], answer, key=str(note.number + 1))
            except NotPaused:
                if time.monotonic() > patient_until:
                    raise
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)  # it is still busy with the one before
            else:
                return "until stored"

    async def _answer_suspended(self, _: int, note: Note) -> str:
        run_id = self._suspended[note.sender][note.number]
        await resume_flow_run(run_id, note.model_dump())
        self._resumed.append(run_id)
        return "until stored"

    async def _deploy(self, _: int, note: Note) -> str:
        started = await run_deployment("execute/load", note.model_dump(), timeout=0)
        run = await wait_for_flow_run(started.id, timeout=_PATIENCE_SECONDS)
        if not run.state.is_completed():
            self.errors[f"the run's {run.state.name}"] += 1
        return "until its result"

    async def _read_answers(self, sender: int) -> None:
        name, run_id = f"sender {sender}", self.inboxes[sender]
        async for note in receive_input(Note, flow_run_id=run_id, timeout=None):
            if note.sender == END:
                return
            link = Link(f"run {note.sender}", name)
            self._notebook.note(name, link, "until answered", note.number, note.due)


async def _suspend(count: int) -> list[UUID]:
    ids: list[UUID] = []
    while len(ids) < count:
        together = range(min(_STARTED_TOGETHER, count - len(ids)))
        started = (run_deployment("go-on/load", timeout=0) for _ in together)
        ids += [run.id for run in await asyncio.gather(*started)]
    for run_id in ids:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while (await get_client().read_flow_run(run_id)).state.name != "Suspended":
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    return ids
