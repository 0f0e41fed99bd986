"""What must never be seen of runs whose workers live: events in, violations out. Pure.

Runs may fail by what their verbs raised while the server was away, and that only. They are executed
again only when their process was away for longer than a lease, or a failover has lost their claim.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from chaos.checker import (
    Promise,
    Verdict,
    an_answer_resumes_once,
    answers_are_sent_before_they_arrive,
    count_of,
    one_answer_is_accepted,
    one_process_writes_in_an_epoch,
)
from chaos.history import Event, by_kind, grouped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chaos.checker import Of, Violations

FINAL = {"Completed", "Failed", "Crashed", "Cancelled"}
TROUBLE = ("ServerUnreachable", "ServerRefused", "RightMissing", "RunLost", "EndNotRecorded")
"""What a flow's verbs may raise while a fault lasts."""
FOLLOWED_SECONDS = 3.0
"""How long after a sentinel knows of a promotion runbus may go on to write to the former primary:
a look takes half a second, and the machine is busy."""
LAG_SECONDS = 0.5
"""What was written so long before replicas were seen to be in sync may not be on them yet."""
TURNS_AWAY = "TooManyClients"
"""The fault in which a server turns some processes away, while it serves others."""
LEAVES = {
    "ask-later": {"FlowRunSuspended", "CancelledError", "ServerUnreachable"},
    "stumble": {"ValueError"},
}
"""How an execution of a flow may end that is followed by another one.

What awaits in an interrupted flow sees the interrupt as its cancellation. A verb that suspends and
gets no answer raises, and may have been executed, or be executed later."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is promised in a world of long-lived workers."""

    lease_seconds: float
    loses_runs: bool = False
    soon_seconds: float = 5.0
    """How soon a run begins whose primary is well."""


@dataclass
class Figures:
    """What a storm came to."""

    begun: int = 0
    ended: Counter[str] = field(default_factory=Counter[str])
    answered: int = 0
    missing: int = 0
    repeated: Counter[str] = field(default_factory=Counter[str])
    faults: Counter[str] = field(default_factory=Counter[str])
    slowest_begin: float = 0.0
    fresh: list[float] = field(default_factory=list[float])

    def __str__(self) -> str:
        ended = ", ".join(f"{count} {state}" for state, count in sorted(self.ended.items()))
        repeated = ", ".join(f"{count} by {why}" for why, count in self.repeated.items())
        made = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        slowest = max(self.fresh, default=0.0)
        return (
            f"{self.begun} runs begun ({ended}; {self.missing} lost by failovers), "
            f"{self.answered} answers; executed again: {repeated or 'none'}\n"
            f"  slowest begin during the faults {self.slowest_begin:.1f} s, "
            f"slowest fresh run {1000 * slowest:.0f} ms of {len(self.fresh)}\n  faults: {made}"
        )


def check_runs(events: Iterable[Event], terms: Terms) -> tuple[Verdict, Figures]:
    """Check a history that ended calmly: all faults healed, all runs waited for."""
    kinds = by_kind(events)
    history = _History(kinds, terms)
    promise = Promise(answers_may_get_lost=terms.loses_runs)

    def of(kind: str) -> list[Event]:
        return kinds.get(kind, [])

    violations = [
        *history.runs_end(),
        *history.ends_are_of_executions(),
        *history.repeats_have_reasons(),
        *history.healthy_runs_begin(),
        *history.answers_arrive(),
        *history.one_answer_stands(),
    ]
    rules = [
        *(one_process_writes_in_an_epoch, an_answer_resumes_once),
        *(one_answer_is_accepted, answers_are_sent_before_they_arrive),
    ]
    violations += [each for rule in rules for each in rule(of, promise)]
    counts = {kind: len(found) for kind, found in kinds.items()}
    return Verdict(counts=counts, violations=violations), history.figures()


class _History:
    def __init__(self, kinds: dict[str, list[Event]], terms: Terms) -> None:
        self._of: Of = lambda kind: kinds.get(kind, [])
        self._terms = terms
        self._found = {event["run"]: event for event in self._of("found")}
        self._executions = grouped(self._of("executing"), lambda event: event["run"])
        self._ends = grouped(self._of("executed"), lambda event: event["run"])
        self._healed = {event["fault"]: event.time for event in self._of("healed")}
        self._repeated: Counter[str] = Counter()
        whole = [event["since"] for event in self._of("whole")]
        self._losses = [
            (
                max((since for since in whole if since < event.time), default=0.0) - LAG_SECONDS,
                event.time + FOLLOWED_SECONDS,
            )
            for event in self._of("promoted")
        ]

    def _may_be_lost(self, since: float, until: float) -> bool:
        """Whether what was written in this time, on some primary, may have been lost since."""
        return any(since <= last and first <= until for first, last in self._losses)

    def runs_end(self) -> Violations:
        """Every run that was started has ended, and none failed by itself."""
        for event in self._of("started"):
            is_lost = event["run"] not in self._found
            if is_lost and not self._may_be_lost(event["began"], event.time):
                yield f"{event['name']} {event['run']} is lost"
        for run, event in self._found.items():
            shown = f"{event['flow']} {run} is {event['state']}"
            if event["state"] not in FINAL:
                yield f"{shown}: {self._told(run)}"
            elif event["state"] == "Failed" and not any(x in event["message"] for x in TROUBLE):
                yield f"{shown}: {event['message']}"
            elif event["state"] in {"Crashed", "Cancelled"} and not self._is_part_of_failed(event):
                yield f"{shown}: {event['message']}; {self._told(run)}"

    def _is_part_of_failed(self, event: Event) -> bool:
        parent = self._found.get(event["parent"])
        if parent is None:
            return bool(event["parent"]) and self._terms.loses_runs
        # A failover may lose the end of a called flow, and not that of its caller.
        ended_well = parent["state"] == "Completed" and not self._lost_an_end(event["run"])
        return parent["state"] in FINAL and not ended_well

    def _lost_an_end(self, run: str) -> bool:
        return any(self._may_be_lost(end.time, end.time) for end in self._ends[run])

    def _told(self, run: str) -> str:
        events = sorted([*self._executions[run], *self._ends[run]], key=lambda event: event.time)
        return " ".join(
            f"{event.time:.1f}:{event.kind}:{event['process']}:{event['epoch']}:"
            f"{event.data.get('how', '')}"
            for event in events
        )

    def ends_are_of_executions(self) -> Violations:
        """A result is that of an execution that returned, and nothing was executed after it."""
        for run, event in self._found.items():
            returned = [end for end in self._ends[run] if end["how"] == "returned"]
            epochs = {end["epoch"] for end in returned}
            if event["result"] and event["result"] not in epochs:
                yield f"{run} has the result of {event['result']}: {self._told(run)}"
            if not event["result"] or self._lost_an_end(run):
                continue
            number = int(event["result"].partition("-")[0])
            if any(count_of(each) > number for each in self._executions[run]):
                yield f"{run} ended in epoch {event['result']} and went on: {self._told(run)}"

    def repeats_have_reasons(self) -> Violations:
        """A run is executed again after it left, or its process or its claim was lost."""
        self._repeated.clear()
        for run, executions in self._executions.items():
            leaves = LEAVES.get(self._found[run]["flow"], set()) if run in self._found else set()
            for before, after in pairwise(executions):
                end = self._end_of(run, before)
                if end is not None and self._has_left(end, after, leaves):
                    continue
                why = self._reason(before, after)
                self._repeated[why or "nothing"] += 1
                if not why:
                    yield f"{run} was executed again for no reason: {self._told(run)}"

    def _has_left(self, end: Event, after: Event, leaves: set[str]) -> bool:
        # A run that suspends is let go before its code is told: it may be answered, and executed
        # elsewhere, in between.
        in_time = end.time < after.time or end["how"] == "FlowRunSuspended"
        return end["how"] in leaves and in_time

    def _end_of(self, run: str, execution: Event) -> Event | None:
        return next(
            (
                end
                for end in self._ends[run]
                if end.time >= execution.time
                and end["epoch"] == execution["epoch"]
                and end["process"] == execution["process"]
            ),
            None,
        )

    def _reason(self, before: Event, after: Event) -> str:
        for fault in self._of("begun"):
            healed = self._healed.get(fault["fault"], after.time)
            seconds = min(healed, after.time) - self._unrenewed_since(fault)
            if healed < before.time or fault.time > after.time:
                continue
            if fault["party"] == before["process"] or fault["name"] == TURNS_AWAY:
                is_killed = "Killed" in fault["name"]
                if is_killed or seconds > self._terms.lease_seconds:
                    return fault["name"]
        return "a promotion" if self._may_be_lost(before.time, after.time) else ""

    def _unrenewed_since(self, fault: Event) -> float:
        """Since when its party could, and may not yet, renew what lapsed in an outage before it."""
        outages = (each["fault"] for each in self._of("begun") if not each["party"])
        ends = (self._healed.get(each, 0.0) for each in outages)
        soon = self._terms.lease_seconds / 3
        return min((each for each in ends if 0 < fault.time - each < soon), default=fault.time)

    def healthy_runs_begin(self) -> Violations:
        """A run whose primary is well begins soon, whatever the others do."""
        for event in self._of("started"):
            executions = self._executions[event["run"]]
            if event["healthy"] and executions:
                seconds = executions[0].time - event["began"]
                if seconds > self._terms.soon_seconds and not self._is_hit_soon(event):
                    yield (
                        f"{event['name']} {event['run']} began {seconds:.1f} s after its start "
                        f"at {event['began']:.1f}, on a healthy primary"
                    )

    def _is_hit_soon(self, started: Event) -> bool:
        """Whether the next fault, which may be one of its own primary, came before it was due."""
        due = started["began"] + self._terms.soon_seconds
        return any(started.time < fault.time < due for fault in self._of("begun"))

    def answers_arrive(self) -> Violations:
        """A run that completed has got every answer that was accepted."""
        resumed = {(event["pause"], event["answer"]) for event in self._of("resumed")}
        for event in self._lasting_answers():
            found = self._found.get(event["pause"].partition(" ")[0])
            if found is None:
                yield f"{event['answer']} was accepted for {event['pause']}, which is lost"
            elif found["state"] == "Completed" and (event["pause"], event["answer"]) not in resumed:
                yield f"{event['answer']} was accepted for {event['pause']}, which never went on"

    def one_answer_stands(self) -> Violations:
        """Of the answers to a pause that no failover has lost, one was accepted."""
        for pause, answers in grouped(self._lasting_answers(), lambda each: each["pause"]).items():
            if len(answers) > 1:
                shown = [event["answer"] for event in answers]
                yield f"{len(answers)} answers were accepted for {pause} for good: {shown}"

    def _lasting_answers(self) -> list[Event]:
        began = {event["answer"]: event.time for event in self._of("answering")}
        return [
            event
            for event in self._of("accepted")
            if not self._may_be_lost(began.get(event["answer"], event.time), event.time)
        ]

    def figures(self) -> Figures:
        """Count what was done."""
        started = self._of("started")
        begins = [
            self._executions[event["run"]][0].time - event["began"]
            for event in started
            if self._executions[event["run"]]
        ]
        return Figures(
            begun=len(started),
            ended=Counter(event["state"] for event in self._found.values()),
            answered=len(self._of("accepted")),
            missing=sum(event["run"] not in self._found for event in started),
            repeated=self._repeated,
            faults=Counter(event["name"] for event in self._of("begun")),
            slowest_begin=max(begins, default=0.0),
            fresh=[event["seconds"] for event in self._of("fresh")],
        )
