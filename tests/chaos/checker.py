"""What must never be seen in a history. Pure: events in, violations out, each a sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chaos.history import Event, by_kind, grouped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Violations = "Iterator[str]"


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What is promised in this world, with these faults."""

    loses: frozenset[str] = frozenset()
    """The durability levels whose acknowledged inputs may get lost."""
    wake_seconds: float = 8.0
    """How long after it is acknowledged, or the fault is healed, an input is received."""
    answers_may_get_lost: bool = False
    """Whether a failover may lose accepted answers."""


@dataclass
class Verdict:
    """The outcome of a check."""

    counts: dict[str, int] = field(default_factory=dict[str, int])
    violations: list[str] = field(default_factory=list[str])

    @property
    def is_good(self) -> bool:
        return not self.violations

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(self.counts.items()))
        shown = "".join(f"\n  {each}" for each in self.violations[:20])
        more = len(self.violations) - 20
        return f"{counts}{shown}" + (f"\n  … and {more} more" if more > 0 else "")


def check(events: Iterable[Event], promise: Promise) -> Verdict:
    """Check a history that ended calmly: all faults healed, all receivers caught up."""
    kinds = by_kind(events)
    return Verdict(
        counts={kind: len(found) for kind, found in kinds.items()},
        violations=[
            violation for rule in RULES for violation in rule(_Kinds(kinds).__getitem__, promise)
        ],
    )


class _Kinds(dict[str, list[Event]]):
    def __missing__(self, kind: str) -> list[Event]:
        return []


Of = "Callable[[str], list[Event]]"


def nothing_acknowledged_is_lost(of: Of, promise: Promise) -> Violations:
    """An input whose receipt came is on the server in the end, and every receiver got it."""
    level = {event["input"]: event["durability"] for event in of("sending")}
    stored = {event["input"] for event in of("stored")}
    for event in of("sent"):
        if event["input"] not in stored and level[event["input"]] not in promise.loses:
            yield f"{event['input']} ({level[event['input']]}) was acknowledged and is lost"


def nothing_is_stored_twice(of: Of, _: Promise) -> Violations:
    """An input has one entry, whatever its sender had to repeat."""
    for name, entries in grouped(of("stored"), lambda event: event["input"]).items():
        if len(entries) > 1:
            yield f"{name} is stored {len(entries)} times: {[each['entry'] for each in entries]}"


def nothing_comes_from_nowhere(of: Of, _: Promise) -> Violations:
    """What is stored or received was sent before, and was not refused."""
    sent = {event["input"]: event.time for event in of("sending")}
    refused = {event["input"] for event in of("unsent") if event["stored"] == "no"}
    for event in (*of("stored"), *of("received")):
        name = event["input"]
        if name not in sent or event.time < sent[name]:
            yield f"{name} was {event.kind} and nobody had sent it"
        elif name in refused:
            yield f"{name} was {event.kind} and its sender was told that it is not"


def senders_keep_their_order(of: Of, _: Promise) -> Violations:
    """The inputs of one sender to one stream are stored in the order of the sends."""
    number = {event["input"]: (event["sender"], event["number"]) for event in of("sending")}
    for stream, entries in grouped(of("stored"), lambda event: event["stream"]).items():
        last: dict[str, int] = {}
        for event in entries:
            sender, count = number.get(event["input"], ("?", 0))
            if count < last.get(sender, -1):
                yield f"{event['input']} is stored after input {last[sender]} of {sender}: {stream}"
            last[sender] = max(count, last.get(sender, -1))


def receivers_see_no_gap(of: Of, promise: Promise) -> Violations:
    """A receiver gets what the stream has: from the first on, in its order, each once.

    Where a failover loses entries, it may have got some that are no longer there, and gets what
    was stored in their place later: then only that nothing is missing, and nothing comes twice.
    """
    streams = grouped(of("stored"), lambda event: event["stream"])
    for (receiver, stream), got in grouped(
        of("received"), lambda event: (event["receiver"], event["stream"])
    ).items():
        names = [event["input"] for event in got]
        whole = [event["input"] for event in streams.get(stream, [])]
        seen = set(names)
        if len(seen) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            yield f"{receiver} got {twice} twice"
        if promise.loses:
            furthest = max((whole.index(name) for name in seen & set(whole)), default=-1)
            missing = [name for name in whole[: furthest + 1] if name not in seen]
            if missing:
                yield f"{receiver} has a gap: {missing[0]} of {stream}"
        elif names != whole[: len(names)]:
            index = next(i for i, pair in enumerate(_pairs(names, whole)) if pair[0] != pair[1])
            expected = whole[index] if index < len(whole) else "nothing"
            yield f"{receiver} has a gap: {names[index]} instead of {expected} in {stream}"


def _pairs(names: list[str], whole: list[str]) -> Iterator[tuple[str, str | None]]:
    for index, name in enumerate(names):
        yield name, whole[index] if index < len(whole) else None


def receivers_catch_up(of: Of, promise: Promise) -> Violations:
    """The last receiver of each stream has got all that is stored."""
    streams = grouped(of("stored"), lambda event: event["stream"])
    for stream, got in grouped(of("received"), lambda event: event["stream"]).items():
        last = got[-1]["receiver"]
        seen = {event["input"] for event in got if event["receiver"] == last}
        missing = [each["input"] for each in streams.get(stream, []) if each["input"] not in seen]
        if missing:
            yield f"{last} never got {len(missing)} inputs of {stream}, {missing[0]} first"


def one_process_writes_in_an_epoch(of: Of, _: Promise) -> Violations:
    """An epoch is one process's, and who comes later has a higher number.

    Two may have the same number, after a failover that lost what one of them had begun.
    """
    for run, steps in grouped(of("step"), lambda event: event["run"]).items():
        for epoch, same in grouped(steps, lambda event: event["epoch"]).items():
            writers = {event["process"] for event in same}
            if len(writers) > 1:
                yield f"{len(writers)} processes wrote in epoch {epoch} of {run}: {writers}"
        for after in steps:
            # It may be written down late; it must not have been begun late.
            later = [x for x in steps if count_of(x) > count_of(after) and x.time < after["began"]]
            if later:
                yield f"epoch {after['epoch']} of {run} wrote after epoch {later[0]['epoch']}"


def count_of(event: Event) -> int:
    """The number in an epoch, `<n>-<digits>`."""
    return int(str(event["epoch"]).partition("-")[0])


def one_answer_is_accepted(of: Of, promise: Promise) -> Violations:
    """A pause has one accepted answer, and it is the one that the flow gets, each time."""
    accepted = grouped(of("accepted"), lambda event: event["pause"])
    for pause, answers in accepted.items():
        names = {event["answer"] for event in answers}
        if len(names) > 1 and not promise.answers_may_get_lost:
            yield f"{len(names)} answers were accepted for {pause}: {sorted(names)}"
    for pause, resumes in grouped(of("resumed"), lambda event: event["pause"]).items():
        got = {event["answer"] for event in resumes}
        if promise.answers_may_get_lost:
            continue
        if len(got) > 1:
            yield f"the flow got {len(got)} different answers for {pause}: {sorted(got)}"
        for event in accepted.get(pause, []):
            if event["answer"] not in got:
                yield f"{event['answer']} was accepted for {pause}, and the flow got {sorted(got)}"


def answers_are_sent_before_they_arrive(of: Of, _: Promise) -> Violations:
    """A flow goes on only with an answer that somebody gave to this very pause."""
    given = {(event["answer"], event["pause"]): event.time for event in of("answering")}
    refused = {
        (event["answer"], event["pause"])
        for event in of("rejected")
        if event["error"] == "AlreadyAnswered"
    }
    for event in of("resumed"):
        which = event["answer"], event["pause"]
        if which not in given or event.time < given[which]:
            yield f"{event['pause']} went on with {event['answer']}, which nobody had given"
        elif which in refused:
            yield f"{event['pause']} went on with {event['answer']}, which was too late"


def an_answer_resumes_once(of: Of, _: Promise) -> Violations:
    """One execution of a flow gets the answer to one pause once."""
    which = grouped(of("resumed"), lambda event: (event["pause"], event["epoch"]))
    for (pause, epoch), resumes in which.items():
        if len(resumes) > 1:
            yield f"{pause} was resumed {len(resumes)} times in epoch {epoch}"


def accepted_answers_arrive(of: Of, promise: Promise) -> Violations:
    """The flow gets every answer that was accepted."""
    resumed = {event["pause"] for event in of("resumed")}
    for event in of("accepted"):
        if event["pause"] not in resumed and not promise.answers_may_get_lost:
            yield f"{event['answer']} was accepted for {event['pause']}, which never went on"


def runs_succeed(of: Of, _: Promise) -> Violations:
    """Every run comes to its end, and none fails."""
    for event in of("ended"):
        if event["state"] != "Completed":
            yield f"{event['run']} is {event['state']}: {event['message']}"


def wakes_are_soon(of: Of, promise: Promise) -> Violations:
    """An input is received soon after it was acknowledged, or after the fault was healed."""
    calm = _calm_after(of("begun"), of("healed"), promise.wake_seconds)
    sent = {event["input"]: event.time for event in of("sent")}
    first = {event["receiver"]: event.time for event in reversed(of("received"))}
    for event in of("received"):
        # Who has only begun reads from the first input on.
        ready = max(sent.get(event["input"], event.time), first[event["receiver"]])
        late = event.time - calm(ready) - promise.wake_seconds
        if late > 0:
            yield f"{event['receiver']} got {event['input']} {late:.1f} s too late"


def _calm_after(
    begun: list[Event], healed: list[Event], seconds: float
) -> Callable[[float], float]:
    """Return when, from a moment on, the first calm `seconds` began."""
    spans: list[tuple[float, float]] = []
    for event in begun:
        ends = (each.time for each in healed if each["fault"] == event["fault"])
        spans.append((event.time, min((t for t in ends if t >= event.time), default=event.time)))
    spans.sort()

    def calm(moment: float) -> float:
        for begin, end in spans:
            if begin <= moment + seconds:
                moment = max(moment, end)
        return moment

    return calm


RULES = (
    *(nothing_acknowledged_is_lost, nothing_is_stored_twice, nothing_comes_from_nowhere),
    *(senders_keep_their_order, receivers_see_no_gap, receivers_catch_up, wakes_are_soon),
    *(one_process_writes_in_an_epoch, one_answer_is_accepted, an_answer_resumes_once),
    *(answers_are_sent_before_they_arrive, accepted_answers_arrive, runs_succeed),
)
