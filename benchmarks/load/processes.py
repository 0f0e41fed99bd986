"""The processes of a load test, seen from their parent, and what they found, merged."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from benchmarks.child import Child, child
from benchmarks.load.receivers import DEPLOYMENT, END, WORKERS, Note
from benchmarks.load.tally import Tally
from benchmarks.load.truth import Fault, Link, Sent, Spans, check
from runbus import resume_flow_run, send_input
from runbus.errors import AlreadyAnswered, NotPaused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.bench import Bench
    from benchmarks.load.plan import Plan

    Watch = Callable[[float, int, int], None]

_LEAD_NS = 200_000_000
_LOOK_AGAIN_SECONDS = 0.1
_PATIENCE_SECONDS = 30.0


@dataclass
class Outcome:
    """What one load test found."""

    plan: Plan
    tally: Tally
    sent: dict[Link, Sent] = field(default_factory=dict)
    got: dict[tuple[str, Link], Spans] = field(default_factory=dict)
    done: int = 0
    missed: int = 0
    """Operations that had not begun when the time of grace was over."""
    errors: Counter[str] = field(default_factory=Counter)
    """Operations that raised, by the error's name."""
    faults: list[Fault] = field(default_factory=list)

    def add(self, found: dict[str, Any]) -> None:
        """Add what a process found."""
        self.tally.merge(found["tally"])
        for source, target, count, unsure in found.get("sent", ()):
            self.sent[Link(source, target)] = Sent(count, unsure)
        for reader, source, target, spans in found["got"]:
            self.got.setdefault((reader, Link(source, target)), Spans()).spans += spans
        self.done += found.get("done", 0)
        self.missed += found.get("missed", 0)
        self.errors.update(found.get("errors", {}))

    def judge(self) -> None:
        """Check the truth."""
        ordered = self.plan.mode not in {"suspend", "deploy"}  # each is a run of its own
        self.faults = check(self.sent, self.got, _readers(self.plan), ordered=ordered)


def load(bench: Bench, plan: Plan, watch: Watch) -> Outcome:
    """Do what is planned. `watch` gets the seconds, the operations done, and the longest, in µs."""
    with bench.settings(), ExitStack() as children:

        def members(role: str) -> list[Child]:
            given = {"url": bench.url, "prefix": bench.prefix, "plan": asdict(plan)}
            return [
                children.enter_context(child("load.member", role=role, part=part, **given))
                for part in range(plan.processes)
            ]

        receivers, senders = members("receiver"), members("sender")
        makes_ids = plan.mode in {"send", "roundtrip"}
        ids = {str(run): str(uuid4()) for run in range(plan.runs)} if makes_ids else {}
        ids = _together(receivers, ids)
        inboxes = _together(senders, ids)
        start = time.monotonic_ns() + _LEAD_NS + int(plan.warm_up * 1e9)
        for each in (*receivers, *senders):
            each.ask(["start", start])
        _watch_senders(senders, start, watch)
        outcome = Outcome(plan, Tally(plan.interval, start))
        asyncio.run(_end(plan, ids.values()))
        found = [each.ask(["finish"]) for each in receivers]
        if plan.mode == "roundtrip":
            asyncio.run(_end(plan, inboxes.values()))
        for each in (*found, *(each.ask(["finish"]) for each in senders)):
            outcome.add(each)
        outcome.judge()
        return outcome


def _together(processes: Iterable[Child], ids: dict[str, str]) -> dict[str, str]:
    return {number: text for each in processes for number, text in each.ask(["runs", ids]).items()}


def _watch_senders(senders: list[Child], start: int, watch: Watch) -> None:
    running = True
    while running:
        time.sleep(_LOOK_AGAIN_SECONDS)
        progress = [each.ask(["progress"]) for each in senders]
        running = any(goes_on for _, _, goes_on in progress)
        done, longest = sum(each[0] for each in progress), max(each[1] for each in progress)
        watch((time.monotonic_ns() - start) / 1e9, done, longest)


async def _end(plan: Plan, ids: Iterable[str]) -> None:
    note = Note(sender=END, number=0, due=0)
    for run_id in ids:
        if plan.mode == "pause":
            await _end_paused(run_id, note)
        else:
            await send_input(note, run_id)


async def _end_paused(run_id: str, note: Note) -> None:
    with suppress(TimeoutError):  # the check of the truth says what it did not get
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await _resume_once_paused(run_id, note)


async def _resume_once_paused(run_id: str, note: Note) -> None:
    while True:
        try:
            return await resume_flow_run(run_id, note.model_dump())
        except (NotPaused, AlreadyAnswered):  # it is still busy with the answer before
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)


def _readers(plan: Plan) -> dict[str, list[str]]:
    senders = {f"sender {each}": [f"sender {each}"] for each in range(plan.senders)}
    if plan.mode == "pause":
        return {f"run {run}": [f"run {run}"] for run in range(plan.runs)}
    receivers = {
        f"run {run}": [f"receiver {each}" for each in range(run, plan.receivers, plan.runs)]
        for run in range(plan.runs)
    }
    return {DEPLOYMENT: [WORKERS], **senders, **receivers}
