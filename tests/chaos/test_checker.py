"""The checker: it finds each kind of violation in a made-up history, and nothing in a good one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chaos.checker import Promise, check
from chaos.history import Event, History, Recorder

if TYPE_CHECKING:
    from pathlib import Path

LOSSY = Promise(loses=frozenset({"memory"}), answers_may_get_lost=True)


def history(*lines: str) -> list[Event]:
    """Events from lines such as `sent input=a entry=1-0`, a second apart unless `at=` says more."""
    events: list[Event] = []
    for number, line in enumerate(lines):
        kind, *fields = line.split()
        data: dict[str, Any] = dict(field.split("=") for field in fields)
        when = float(data.pop("at", number))
        data |= {name: int(data[name]) for name in ("number",) if name in data}
        if kind == "step":
            data["began"] = float(data.get("began", when))
        if "pause" in data:
            data.setdefault("run", "r")
        events.append(Event(kind, when, data))
    return events


def sends(*names: str, durability: str = "memory") -> list[str]:
    return [
        line
        for number, name in enumerate(names)
        for line in (
            f"sending input={name} sender=s stream=x number={number} durability={durability}",
            f"sent input={name} entry={number}-0",
        )
    ]


def received(*names: str, by: str = "r") -> list[str]:
    return [f"received input={name} receiver={by} stream=x" for name in names]


def stored(*names: str) -> list[str]:
    return [f"stored input={name} stream=x entry={i}-0" for i, name in enumerate(names)]


ANSWER = ["answering answer=yes pause=p", "accepted answer=yes pause=p"]
RESUME = ["resumed answer=yes pause=p epoch=1-a process=w"]

GOOD = [
    *sends("a", "b", "c"),
    *received("a", "b", "c"),
    *stored("a", "b", "c"),
    *ANSWER,
    "answering answer=no pause=p",
    "rejected answer=no pause=p error=AlreadyAnswered",
    "step run=r epoch=1-a process=w",
    *RESUME,
    "step run=r epoch=2-a process=v",
    "step run=r epoch=1-a process=w began=11.5",  # written down late
    "step run=r epoch=2-b process=u",  # a failover had lost who was to have it
    "resumed answer=yes pause=p epoch=2-a process=v",  # a replay gets the recorded answer
    "ended run=r state=Completed message=",
]

BAD = {
    "b (memory) was acknowledged and is lost": [*sends("a", "b"), *received("a"), *stored("a")],
    "a is stored 2 times": [*sends("a"), *received("a"), *stored("a", "a")],
    "a was stored and nobody had sent it": stored("a"),
    "a was received and nobody had sent it": [*received("a"), *sends("a"), *stored("a")],
    "its sender was told that it is not": [
        "sending input=a sender=s stream=x number=0 durability=memory",
        "unsent input=a error=StreamFull stored=no",
        *stored("a"),
    ],
    "a is stored after input 1 of s": [*sends("a", "b"), *stored("b", "a")],
    "r got a twice": [*sends("a"), *received("a", "a"), *stored("a")],
    "r has a gap: b instead of a": [*sends("a", "b"), *received("b"), *stored("a", "b")],
    "r has a gap: c instead of nothing": [*sends("c"), *received("c"), *stored()],
    "r never got 1 inputs of x, b first": [*sends("a", "b"), *received("a"), *stored("a", "b")],
    "2 processes wrote in epoch 1-a": [
        "step run=r epoch=1-a process=w",
        "step run=r epoch=1-a process=v",
    ],
    "epoch 1-a of r wrote after epoch 2-a": [
        "step run=r epoch=2-a process=w",
        "step run=r epoch=1-a process=v",
    ],
    "2 answers were accepted for p": [
        *ANSWER,
        "answering answer=no pause=p",
        "accepted answer=no pause=p",
        *RESUME,
    ],
    "the flow got 2 different answers for p": [
        *ANSWER,
        "answering answer=no pause=p",
        *RESUME,
        "resumed answer=no pause=p epoch=2-a process=w",
    ],
    "yes was accepted for p, and the flow got ['no']": [
        *ANSWER,
        "answering answer=no pause=p",
        "resumed answer=no pause=p epoch=1-a process=w",
    ],
    "which nobody had given": RESUME,
    "went on with yes, which nobody had given": [*RESUME, *ANSWER],
    "which was too late": [
        "answering answer=yes pause=p",
        "rejected answer=yes pause=p error=AlreadyAnswered",
        *RESUME,
    ],
    "p was resumed 2 times in epoch 1-a": [*ANSWER, *RESUME, *RESUME],
    "yes was accepted for p, which never went on": ANSWER,
    "r is Failed: why": ["ended run=r state=Failed message=why"],
    "r got b 11.0 s too late": [
        *sends("a", "b"),
        *received("a"),
        "received input=b receiver=r stream=x at=23",
        *stored("a", "b"),
    ],
}


def test_a_good_history() -> None:
    """What is allowed is not reported."""
    assert check(history(*GOOD), Promise()).violations == []


@pytest.mark.parametrize("violation", BAD)
def test_a_violation_is_found(violation: str) -> None:
    """Each rule reports what breaks it."""
    found = check(history(*BAD[violation]), Promise(wake_seconds=8))
    assert any(violation in each for each in found.violations), found
    assert not found.is_good


def test_what_a_level_may_lose() -> None:
    """A failover may lose what was in memory only, and nothing that was on a replica."""
    lost = [*sends("a"), *received("a"), *stored()]
    assert check(history(*lost), LOSSY).is_good
    replicated = [*sends("a", durability="replicated"), *received("a"), *stored()]
    assert "acknowledged and is lost" in str(check(history(*replicated), LOSSY))


def test_a_gap_is_found_where_entries_may_get_lost() -> None:
    """A receiver may have got what is gone, and must have got what is there."""
    gone = [*sends("a", "b", "c"), *received("a", "b", "c"), *stored("a", "c")]
    assert check(history(*gone), LOSSY).is_good
    gap = [*sends("a", "b", "c"), *received("a", "c"), *stored("a", "b", "c")]
    assert "r has a gap: b of x" in str(check(history(*gap), LOSSY))


def test_a_wake_may_wait_for_the_fault_to_heal() -> None:
    """The bound counts from the moment when all is well again, also after a second fault."""
    lines = [
        *sends("a", "b"),
        *received("a"),
        "begun fault=1 at=4",
        "healed fault=1 at=15",
        "begun fault=2 at=16",
        "healed fault=2 at=30",
    ]
    soon = [*lines, "received input=b receiver=r stream=x at=37"]
    late = [*lines, "received input=b receiver=r stream=x at=39"]
    assert check(history(*soon, *stored("a", "b")), Promise(wake_seconds=8)).is_good
    found = check(history(*late, *stored("a", "b")), Promise(wake_seconds=8))
    assert "r got b 1.0 s too late" in str(found)


def test_a_history_is_read_as_it_grows(tmp_path: Path) -> None:
    """Events of several processes are in the order of time; half a line is not an event yet."""
    one, other, history = Recorder(tmp_path, "1"), Recorder(tmp_path, "2"), History(tmp_path)
    one.note("sent", input="a")
    other.note("received", input="a")
    with (tmp_path / "3.jsonl").open("w") as file:
        file.write('["sent", 1')
        file.flush()
        assert [event.kind for event in history.grow()] == ["sent", "received"]
        file.write('.5, {"input": "b"}]\n')
    assert [event["input"] for event in history.grow()] == ["b", "a", "a"]
