"""The checker of runs finds what it is there to find."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.history import Event
from chaos.run_checker import Terms, check_runs

TERMS = Terms(lease_seconds=2)
LOSSY = Terms(lease_seconds=2, loses_runs=True)
FOUND = {"state": "Completed", "message": "", "result": "1-a", "flow": "doze", "parent": ""}


def history(*events: tuple[str, float, dict[str, Any]]) -> list[Event]:
    return [Event(kind, time, data) for kind, time, data in events]


def started(*, began: float = 1, healthy: bool = False) -> tuple[str, float, dict[str, Any]]:
    return "started", began, {"run": "r", "name": "doze", "began": began, "healthy": healthy}


def executing(time: float, epoch: str = "1-a", process: str = "w") -> Any:
    return "executing", time, {"run": "r", "epoch": epoch, "process": process}


def executed(time: float, epoch: str = "1-a", process: str = "w", how: str = "returned") -> Any:
    return "executed", time, {"run": "r", "epoch": epoch, "process": process, "how": how}


def found(**fields: str) -> Any:
    return "found", 99, {"run": "r", **FOUND, **fields}


def fault(name: str, party: str, began: float, healed: float, number: int = 0) -> Any:
    return (
        ("begun", began, {"fault": number, "name": name, "party": party}),
        ("healed", healed, {"fault": number}),
    )


ONCE = [started(), executing(2), executed(3)]
TWICE = [started(), executing(2), executing(9, "2-b", "v"), executed(10, "2-b", "v")]
BAD: dict[str, list[Any]] = {
    "doze r is lost": ONCE,
    "doze r is Running": [*ONCE, found(state="Running", result="")],
    "doze r is Failed: ValueError": [*ONCE, found(state="Failed", result="", message="ValueError")],
    "doze r is Crashed": [*ONCE, found(state="Crashed", result="")],
    "r has the result of 7-x": [*ONCE, found(result="7-x")],
    "r ended in epoch 1-a and went on": [*ONCE, *TWICE[2:], found()],
    "r was executed again for no reason": [*TWICE, found(result="2-b")],
    "r began 8.0 s after its start": [
        started(healthy=True),
        executing(9),
        executed(10),
        found(),
    ],
    "first was accepted for r only, which never went on": [
        *ONCE,
        found(),
        ("accepted", 2, {"answer": "first", "pause": "r only"}),
    ],
}


def test_a_good_history() -> None:
    """One execution, whose result it is; another one after its process slept over its lease."""
    verdict, figures = check_runs(history(*ONCE, found()), TERMS)
    assert verdict.violations == []
    assert (figures.begun, dict(figures.ended)) == (1, {"Completed": 1})
    asleep = fault("FrozenParty", "w", 3, 8)
    verdict, figures = check_runs(history(*TWICE, *asleep, found(result="2-b")), TERMS)
    assert verdict.violations == []
    assert dict(figures.repeated) == {"FrozenParty": 1}


def test_what_a_history_cannot_tell_is_no_violation() -> None:
    """A run is answered before its suspend is noted; a fault may hit a primary that was well."""
    later = {"flow": "ask-later", "result": "2-b"}
    suspended = executed(9.1, how="FlowRunSuspended")
    verdict, _ = check_runs(history(*TWICE, suspended, found(**later)), TERMS)
    assert verdict.violations == []
    asleep = *fault("ReadOnly", "", 1, 2.9), *fault("FrozenParty", "w", 3.4, 5.2, number=1)
    verdict, _ = check_runs(history(*TWICE, *asleep, found(result="2-b")), TERMS)
    assert verdict.violations == []  # its lease was over when the outage was
    late = [started(healthy=True), executing(9), executed(10), found()]
    verdict, _ = check_runs(history(*late, *fault("FullMemory", "", 2, 8)), TERMS)
    assert verdict.violations == []


@pytest.mark.parametrize("violation", BAD)
def test_a_violation_is_found(violation: str) -> None:
    """Each rule reports what breaks it."""
    verdict, _ = check_runs(history(*BAD[violation]), TERMS)
    assert any(violation in each for each in verdict.violations), verdict


@pytest.mark.parametrize(
    ("party", "seconds"),
    [("v", 5), ("w", 1), ("", 5)],
    ids=["another's sleep", "a short sleep", "an outage"],
)
def test_what_is_no_reason_to_execute_again(party: str, seconds: float) -> None:
    """Only that the very process slept for longer than a lease: an outage is nobody's crash."""
    events = [*TWICE, *fault("Frozen", party, 3, 3 + seconds), found(result="2-b")]
    verdict, _ = check_runs(history(*events), TERMS)
    assert any("for no reason" in each for each in verdict.violations)


def promotion(at: float) -> Any:
    return ("whole", at - 2.5, {"since": at - 2.5}), ("promoted", at, {"number": 1})


def test_what_a_promotion_may_lose() -> None:
    """Runs, and claims of runs that are executed again then."""
    assert check_runs(history(*ONCE, *promotion(3)), LOSSY)[0].is_good
    assert check_runs(history(*TWICE, *promotion(3), found(result="2-b")), LOSSY)[0].is_good
    assert not check_runs(history(*TWICE, found(result="2-b")), LOSSY)[0].is_good


ACCEPTED: dict[str, list[Any]] = {
    "r is lost": ONCE,
    "which never went on": [*ONCE, found(), ("accepted", 2, {"answer": "a", "pause": "r only"})],
    "which is lost": [*ONCE, ("accepted", 2, {"answer": "a", "pause": "r only"})],
    "2 answers were accepted for r only for good": [
        *ONCE,
        found(),
        ("accepted", 2, {"answer": "a", "pause": "r only"}),
        ("accepted", 2.5, {"answer": "b", "pause": "r only"}),
    ],
    "doze r is Crashed": [
        *ONCE,
        found(state="Crashed", result="", parent="p"),
        ("found", 99, {**FOUND, "run": "p", "result": ""}),
    ],
}


@pytest.mark.parametrize("violation", ACCEPTED)
def test_what_a_promotion_may_not_lose(violation: str) -> None:
    """What the replicas had before it, and what is written a while after it."""

    def is_found(promoted_at: float) -> bool:
        events = history(*ACCEPTED[violation], *promotion(promoted_at))
        return any(violation in each for each in check_runs(events, LOSSY)[0].violations)

    assert [is_found(at) for at in (20, 3, -20)] == [True, False, True]
