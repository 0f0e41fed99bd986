"""A run's states against a model: whatever is done to it in whatever order, on a real server."""

from __future__ import annotations

from dataclasses import replace
from secrets import token_hex
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from owners import claimed, created, died, ended

from runbus.background.bridge import run as block
from runbus.errors import (
    AlreadyAnswered,
    CannotPause,
    FlowRunCancelled,
    NotPaused,
    RunLost,
)
from runbus.flow_runs import acancel_flow_run, aresume_flow_run
from runbus.protocol.keys import tag
from runbus.protocol.states import MOVES, TYPES
from runbus.store.bus import current_bus
from runbus.store.maintenance.recovery import MAX_CRASHES
from runbus.store.records import pause_opening, runs

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from servers import Server

    from runbus.protocol.records import FlowRun

EXAMPLES, STEPS = 40, 30
EARLY = 10
"""For so many steps nothing ends the run by intent: else most runs would be short."""
WORKERS = st.sampled_from(["one", "two"])
FINAL = {"Completed", "Failed", "Cancelled", "Crashed"}


class RunMachine(RuleBasedStateMachine):
    """One deployed run, two workers that may each die or sleep, one answerer, one canceller."""

    @initialize()
    def create(self) -> None:
        self.run_id = uuid4()
        self.state = "Scheduled"
        self.owner: str | None = None
        self.epoch = ""
        self.epochs: list[str] = []
        self.crashed: set[str] = set()
        self.pause: str | None = None
        self.answered: set[str] = set()
        self.steps = 0
        fields = {"flow": "f", "deployment": "f/x"}
        self.made: FlowRun = self.do(lambda: created(self.run_id, fields))

    def do(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        async def call() -> Any:
            return await work()

        return block(call)

    @property
    def executes(self) -> bool:
        return self.owner is not None

    # --- Workers ---

    @rule(worker=WORKERS)
    def claim(self, worker: str) -> None:
        run = self.do(lambda: claimed(self.run_id, worker))
        assert bool(run) == (self.state == "Scheduled")
        if run:
            assert number_of(run.epoch) == number_of(self.epoch) + 1
            assert run.epoch not in self.epochs
            self.epochs.append(run.epoch)
            self.state, self.owner, self.epoch = "Running", worker, run.epoch

    @rule(worker=WORKERS)
    def die(self, worker: str) -> None:
        """Others take what it has; only a run that executed counts a crash."""
        self.do(lambda: died(self.run_id, worker))
        if self.owner != worker:
            return
        if self.state == "Running":
            self.crashed.add(self.epoch)
        if self.state == "Cancelling":
            self.end("Cancelled")
        elif self.state == "Running" and self.crashes == MAX_CRASHES:
            self.end("Crashed")
        else:
            self.leave("Scheduled")

    @precondition(lambda self: self.executes)
    @rule()
    def begin_again(self) -> None:
        refused_by = self.do(
            lambda: runs.move(current_bus(), self.made, "Running", epoch=self.epoch)
        )
        goes_on = self.state == "Running" or "Running" in MOVES[self.state]  # or does already
        assert refused_by == (None if goes_on else self.state)
        if refused_by is None and self.state != "Running":
            self.enter("Running")

    @precondition(lambda self: self.executes)
    @rule()
    def fail_once(self) -> None:
        """Its retry follows in the same execution, unless it is to end."""
        self.conclude_as("Pending", retry=1)

    @precondition(lambda self: self.executes and self.steps > EARLY)
    @rule(state=st.sampled_from(["Completed", "Failed"]))
    def conclude(self, state: str) -> None:
        self.conclude_as(state)

    @precondition(lambda self: self.executes)
    @rule(state=st.sampled_from(["Scheduled", "Suspended"]))
    def hand_back(self, state: str) -> None:
        self.conclude_as(state)

    def conclude_as(self, state: str, **others: Any) -> None:
        now = replace(self.made, epoch=self.epoch)
        expected = "Cancelled" if self.is_refused(state) else state
        token = token_hex(8)
        for _ in range(2):  # its reply was lost
            reply = self.do(lambda: ended(now, state, token=token, **others))
            assert reply == ("ENDED", expected)
        if expected in FINAL:
            self.end(expected)
        elif expected == "Pending":
            self.enter(expected)
        else:
            self.leave(expected)

    def is_refused(self, state: str) -> bool:
        """Whether the run is to be cancelled, which only an end forestalls."""
        return self.state == "Cancelling" and state not in MOVES["Cancelling"]

    @precondition(lambda self: self.old_epochs())
    @rule(data=st.data(), state=st.sampled_from(sorted(FINAL)))
    def write_too_late(self, data: st.DataObject, state: str) -> None:
        """An old epoch is refused, whatever it writes; an end by it says that it was no crash."""
        epoch = data.draw(st.sampled_from(self.old_epochs()))
        form = pause_opening.Form()
        old = replace(self.made, epoch=epoch)
        assert self.do(lambda: ended(old, state)) == ("LOST", self.state)
        self.crashed.discard(epoch)
        for write in (
            lambda: runs.move(current_bus(), self.made, "Suspended", epoch=epoch),
            lambda: pause_opening.open_pause(
                current_bus(), self.run_id, "late", form, timeout=None, retry=0, epoch=epoch
            ),
        ):
            if self.state not in FINAL:
                with pytest.raises(RunLost):
                    self.do(write)

    @property
    def crashes(self) -> int:
        return len(self.crashed)

    def old_epochs(self) -> list[str]:
        return [each for each in self.epochs if not self.executes or each != self.epoch]

    # --- Pauses ---

    @precondition(lambda self: self.executes)
    @rule(
        key=st.sampled_from(["a", "b"]),
        state=st.sampled_from(["Paused", "Suspended"]),
        waits_elsewhere=st.booleans(),
    )
    def open_pause(self, key: str, state: Any, *, waits_elsewhere: bool) -> None:
        def work() -> Coroutine[Any, Any, Any]:
            return pause_opening.open_pause(
                *(current_bus(), self.run_id, key, pause_opening.Form()),
                timeout=None,
                retry=0,
                epoch=self.epoch,
                state=state,
                waits_in=lambda _: waits_elsewhere,
            )

        if key in self.answered:
            assert self.do(work).is_answered
        elif self.state == "Cancelling":
            with pytest.raises((CannotPause, FlowRunCancelled)):
                self.do(work)
        elif self.pause not in {None, key} and self.state == "Paused" and waits_elsewhere:
            with pytest.raises(CannotPause):
                self.do(work)
        else:
            assert not self.do(work).is_answered
            self.state, self.pause = state, key
            if state == "Suspended":
                self.leave(state)

    @rule()
    def answer(self) -> None:
        def work() -> Coroutine[Any, Any, None]:
            return aresume_flow_run(self.run_id)

        if self.pause is not None:
            self.do(work)
            self.answered.add(self.pause)
            self.pause = None
            self.state = {"Paused": "Running", "Suspended": "Scheduled"}.get(self.state, self.state)
        elif self.state == "Suspended":  # from outside: it asks nothing
            self.do(work)
            self.state = "Scheduled"
        else:
            with pytest.raises((NotPaused, AlreadyAnswered)):
                self.do(work)

    # --- From outside ---

    @precondition(lambda self: self.state not in FINAL and self.steps > EARLY)
    @rule()
    def cancel(self) -> None:
        self.do(lambda: acancel_flow_run(self.run_id))
        if self.state in {"Scheduled", "Suspended", "Pending"}:
            self.end("Cancelled")
        else:
            self.enter("Cancelling")

    def enter(self, state: str) -> None:
        self.state = state

    def leave(self, state: str) -> None:
        """Be in no process: nobody writes under the epoch that it had."""
        self.state, self.owner, self.epoch = state, None, str(number_of(self.epoch))

    def end(self, state: str) -> None:
        self.leave(state)
        self.pause = None

    # --- What must be true ---

    @invariant()
    def the_server_agrees(self) -> None:
        if not hasattr(self, "run_id"):
            return
        run: FlowRun = self.do(lambda: runs.read(current_bus(), self.run_id))
        found = (run.state.name, run.owner, run.pause, run.crash_count)
        assert found == (self.state, self.owner, self.pause, self.crashes)
        assert (run.epoch or "0") == (self.epoch or "0")
        assert run.state.type == TYPES[self.state]
        self.steps += 1

    @invariant()
    def it_is_in_the_right_indexes(self) -> None:
        if not hasattr(self, "run_id"):
            return
        assert self.indexes() == {
            name
            for name, belongs in {
                "scheduled": self.state == "Scheduled",
                "executing": self.executes,
                "pending": self.pause is not None or self.state == "Suspended",
                "active": self.state not in FINAL,
            }.items()
            if belongs
        }

    def indexes(self) -> set[str]:
        async def read() -> set[str]:
            bus, place = current_bus(), tag(self.run_id)
            keys = bus.keys
            member = str(self.run_id)
            names = {
                "scheduled": (keys.scheduled(place, "f/x"), member),
                "executing": (keys.executing(place), f"{self.owner} {member} {self.epoch}"),
                "pending": (keys.pending(place), member),
                "active": (keys.active(place), member),
            }
            scores = await bus.commands.together(*(("ZSCORE", *each) for each in names.values()))
            return {name for name, score in zip(names, scores, strict=True) if score is not None}

        return self.do(read)

    def teardown(self) -> None:
        if hasattr(self, "run_id") and self.state not in FINAL:  # so that its keys end
            self.do(lambda: runs.move(current_bus(), self.made, "Crashed"))


def number_of(epoch: str) -> int:
    """How many executions began up to an epoch."""
    return int(epoch.partition("-")[0] or 0)


def test_a_run_does_as_its_model(server: Server) -> None:
    """Claims, deaths, pauses, answers, cancels and late writes, in any order."""
    run_state_machine_as_test(
        RunMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
