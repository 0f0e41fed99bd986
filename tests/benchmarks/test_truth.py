"""The check of the truth sees what is wrong, and nothing else."""

from __future__ import annotations

from benchmarks.load.truth import Link, Sent, Spans, check

LINK = Link("sender 1", "run 2")
READERS = {"run 2": ["receiver 2"]}


def faults(sent: Sent, *numbers: int, ordered: bool = True) -> list[tuple[str, int]]:
    spans = Spans()
    for number in numbers:
        spans.add(number)
    got = {("receiver 2", LINK): spans} if numbers else {}
    found = check({LINK: sent}, got, READERS, ordered=ordered)
    return [(fault.kind, fault.number) for fault in found]


def test_all_once_and_in_order_is_the_truth() -> None:
    """Nothing is wrong with what came as it was sent, however much."""
    assert faults(Sent(100_000), *range(100_000)) == []
    assert faults(Sent(0)) == []


def test_a_lost_input_is_found() -> None:
    """In the middle, at the beginning, at the end, and all of them."""
    assert faults(Sent(4), 0, 2, 3) == [("lost", 1)]
    assert faults(Sent(3), 1, 2) == [("lost", 0)]
    assert faults(Sent(3), 0, 1) == [("lost", 2)]
    assert faults(Sent(2)) == [("lost", 0), ("lost", 1)]


def test_a_doubled_input_is_found() -> None:
    """At once, and later."""
    assert faults(Sent(3), 0, 1, 1, 2) == [("doubled", 1)]
    assert faults(Sent(3), 0, 1, 2, 0) == [("doubled", 0)]


def test_a_reordered_input_is_found() -> None:
    """It came after one that was sent later; where runs are of their own, that is no fault."""
    assert faults(Sent(4), 0, 2, 1, 3) == [("reordered", 1)]
    assert faults(Sent(4), 0, 2, 1, 3, ordered=False) == []
    assert faults(Sent(4), 0, 2, 2, ordered=False) == [("doubled", 2), ("lost", 1), ("lost", 3)]


def test_an_input_that_nobody_sent_is_found() -> None:
    """A number beyond what was sent, and a sender that does not exist."""
    assert faults(Sent(1), 0, 1) == [("unknown", 1)]
    stray = Spans([[0, 0]])
    found = check({}, {("receiver 2", LINK): stray}, READERS)
    assert [str(fault) for fault in found] == [
        "unknown: number 0 from sender 1 to run 2, at receiver 2"
    ]


def test_a_send_that_failed_may_arrive_but_once() -> None:
    """Its sender could not know whether it was stored."""
    assert faults(Sent(3, unsure=[1]), 0, 2) == []
    assert faults(Sent(3, unsure=[1]), 0, 1, 2) == []
    assert faults(Sent(3, unsure=[1]), 0, 1, 1, 2) == [("doubled", 1)]


def test_each_receiver_of_a_run_gets_all() -> None:
    """What one of them has, does not help another."""
    got = {("a", LINK): Spans([[0, 2]]), ("b", LINK): Spans([[0, 1]])}
    found = check({LINK: Sent(3)}, got, {"run 2": ["a", "b"]})
    assert [(fault.reader, fault.kind, fault.number) for fault in found] == [("b", "lost", 2)]
