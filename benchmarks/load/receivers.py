"""Those who receive: inboxes, flows that pause, and the deployment's flows, by mode."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any
from uuid import UUID

from benchmarks.load.truth import Link, Spans
from runbus import (
    RunInput,
    flow,
    get_client,
    get_run_context,
    pause_flow_run,
    receive_input,
    serve,
    suspend_flow_run,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from benchmarks.load.plan import Plan
    from benchmarks.load.tally import Tally

END = -1
"""The sender of the note after the last one."""
DEPLOYMENT = "the deployment"
WORKERS = "its workers"
_PATIENCE_SECONDS = 30.0
_LOOK_AGAIN_SECONDS = 0.02


class Note(RunInput):
    """What is sent."""

    sender: int
    """Who sent it: a sender; in an answer, the run that answers."""
    number: int
    """Which one it is from that sender to this target."""
    due: int
    """When its sending was due (`time.monotonic_ns`)."""
    text: str = ""


class Notebook:
    """What the receivers of this process got."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._spans: defaultdict[tuple[str, Link], Spans] = defaultdict(Spans)

    def note(self, reader: str, link: Link, measure: str, number: int, due: int) -> None:
        """Note that a reader got a number."""
        self._tally.record(measure, due)
        self._spans[reader, link].add(number)

    def rows(self) -> list[list[Any]]:
        """Return all of it as JSON values."""
        return [[reader, *link, spans.spans] for (reader, link), spans in self._spans.items()]


class Receivers:
    """The receivers of one process."""

    def __init__(self, plan: Plan, part: int, tally: Tally) -> None:
        self.ids: dict[int, str] = {}
        """The ids of the runs; those of flows that pause are known when they have begun."""
        self.notebook = Notebook(tally)
        self._plan, self._part = plan, part
        self._tasks: list[asyncio.Task[Any]] = []

    async def begin(self, ids: dict[int, str]) -> None:
        """Let all of them wait. Raises `TimeoutError`."""
        self.ids = ids
        match self._plan.mode:
            case "send" | "roundtrip":
                for receiver in self._plan.share(self._plan.receivers, self._part):
                    self._start(self._receive(receiver))
            case "pause":
                own = self._plan.share(self._plan.runs, self._part)
                for run in own:
                    self._start(_pausing(self, run))
                await _until(lambda: len(self.ids) == len(own))
            case _:
                Serving.notebook = self.notebook
                flows = (execute, go_on)
                self._start(serve(*(each.to_deployment("load") for each in flows)))
                await self._until_served()

    async def finish(self) -> list[list[Any]]:
        """Wait for the note after the last one, and return what they got."""
        if self._plan.mode not in {"suspend", "deploy"}:
            _, missing = await asyncio.wait(self._tasks, timeout=_PATIENCE_SECONDS)
            for task in self._tasks:
                if task not in missing:
                    task.result()  # one that failed tells why
        return self.notebook.rows()

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        """What still runs."""
        return [task for task in self._tasks if not task.done()]

    def _start(self, work: Coroutine[Any, Any, Any]) -> None:
        self._tasks.append(asyncio.ensure_future(work))

    async def _receive(self, receiver: int) -> None:
        run = receiver % self._plan.runs
        answers = self._plan.mode == "roundtrip"
        reader, target, run_id = f"receiver {receiver}", f"run {run}", UUID(self.ids[run])
        async for note in receive_input(Note, flow_run_id=run_id, timeout=None):
            if note.sender == END:
                return
            link = Link(f"sender {note.sender}", target)
            self.notebook.note(reader, link, "until received", note.number, note.due)
            if answers:
                answer = Note(sender=run, number=note.number, due=note.due, text=note.text)
                await note.respond(answer)

    async def _until_served(self) -> None:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while os.getpid() not in {each.pid for each in await get_client().read_workers()}:
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)


@flow
async def _pausing(receivers: Receivers, run: int) -> None:
    receivers.ids[run] = str(get_run_context().run_id)
    while (note := await pause_flow_run(Note, timeout=None)).sender != END:
        link = Link(f"sender {note.sender}", f"run {run}")
        receivers.notebook.note(f"run {run}", link, "until it goes on", note.number, note.due)


class Serving:
    """What the flows of a deployment find in their process."""

    notebook: Notebook


@flow
async def execute(sender: int, number: int, due: int, text: str) -> int:
    """Say that it was executed."""
    link = Link(f"sender {sender}", DEPLOYMENT)
    Serving.notebook.note(WORKERS, link, "until its first line", number, due)
    return len(text)


@flow
async def go_on() -> None:
    """Suspend itself, and say that it goes on."""
    note = await suspend_flow_run(Note)
    link = Link(f"sender {note.sender}", DEPLOYMENT)
    Serving.notebook.note(WORKERS, link, "until it goes on", note.number, note.due)


async def _until(holds: Any) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not holds():
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
