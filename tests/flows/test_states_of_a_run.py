"""A run's states against a model: whatever is done to it in whatever order, on a real server."""

from __future__ import annotations

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

from runbus.bridge import run as block
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
from runbus.store import bus, pauses, runs

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
        self.epoch = 0
        self.losses = 0
        self.pause: str | None = None
        self.answered: set[str] = set()
        self.steps = 0
        fields = {"flow": "f", "deployment": "f/x"}
        self.do(lambda: runs.create(bus.current(), self.run_id, fields))

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
        run = self.do(lambda: runs.claim(bus.current(), self.run_id, worker, ["f/x"]))
        assert bool(run) == (self.state == "Scheduled")
        if run:
            assert run.epoch > self.epoch
            self.state, self.owner, self.epoch = "Running", worker, run.epoch

    @rule(worker=WORKERS)
    def reclaim(self, worker: str) -> None:
        again = self.do(lambda: runs.reclaim(bus.current(), self.run_id, worker, 3))
        if self.owner != worker:
            assert again
            return
        losses = self.losses + (self.state == "Running")
        assert again == (losses < 3 and self.state != "Cancelling")
        if again:
            self.state, self.owner, self.losses, self.epoch = (
                "Scheduled",
                None,
                losses,
                self.epoch + 1,
            )
        else:
            self.do(lambda: runs.move(bus.current(), self.run_id, "Crashed"))
            self.end("Crashed")

    @precondition(lambda self: self.executes)
    @rule(state=st.sampled_from(["Pending", "Running"]))
    def move(self, state: str) -> None:
        self.make_move(state)

    @precondition(lambda self: self.executes and self.steps > EARLY)
    @rule(state=st.sampled_from(["Completed", "Failed"]))
    def conclude(self, state: str) -> None:
        self.make_move(state)

    def make_move(self, state: str) -> None:
        refused_by = self.do(lambda: runs.move(bus.current(), self.run_id, state, epoch=self.epoch))
        assert refused_by == (None if state in MOVES[self.state] else self.state)
        if refused_by is None:
            self.end(state) if state in FINAL else self.enter(state)

    @precondition(lambda self: self.executes)
    @rule()
    def hand_back(self) -> None:
        refused_by = self.do(
            lambda: runs.move(
                bus.current(), self.run_id, "Scheduled", epoch=self.epoch, release=True
            )
        )
        assert refused_by == (None if "Scheduled" in MOVES[self.state] else self.state)
        if refused_by is None:
            self.state, self.owner = "Scheduled", None

    @precondition(lambda self: self.epoch > 1)
    @rule(age=st.integers(1, 3), state=st.sampled_from(sorted(FINAL)))
    def write_too_late(self, age: int, state: str) -> None:
        """An old epoch is refused, whatever it writes."""
        epoch = self.epoch - age
        form = pauses.Form()
        for write in (
            lambda: runs.move(bus.current(), self.run_id, state, epoch=epoch),
            lambda: pauses.open_pause(
                bus.current(), self.run_id, "late", form, timeout=None, retry=0, epoch=epoch
            ),
        ):
            with pytest.raises(RunLost):
                self.do(write)

    # --- Pauses ---

    @precondition(lambda self: self.executes)
    @rule(key=st.sampled_from(["a", "b"]), state=st.sampled_from(["Paused", "Suspended"]))
    def open_pause(self, key: str, state: Any) -> None:
        def work() -> Coroutine[Any, Any, Any]:
            return pauses.open_pause(
                *(bus.current(), self.run_id, key, pauses.Form()),
                timeout=None,
                retry=0,
                epoch=self.epoch,
                state=state,
            )

        if key in self.answered:
            assert self.do(work).is_answered
        elif self.state not in {"Running", "Paused", state}:
            with pytest.raises((CannotPause, FlowRunCancelled)):
                self.do(work)
        elif self.pause not in {None, key} and self.state == "Paused":
            with pytest.raises(CannotPause):
                self.do(work)
        else:
            assert not self.do(work).is_answered
            self.state, self.pause = state, key
            if state == "Suspended":
                self.owner = None

    @rule()
    def answer(self) -> None:
        def work() -> Coroutine[Any, Any, None]:
            return aresume_flow_run(self.run_id)

        if self.pause is not None:
            self.do(work)
            self.answered.add(self.pause)
            self.pause = None
            self.state = {"Paused": "Running", "Suspended": "Scheduled"}.get(self.state, self.state)
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

    def end(self, state: str) -> None:
        self.state, self.owner, self.pause = state, None, None

    # --- What must be true ---

    @invariant()
    def the_server_agrees(self) -> None:
        if not hasattr(self, "run_id"):
            return
        run: FlowRun = self.do(lambda: runs.read(bus.current(), self.run_id))
        found = (run.state.name, run.epoch, run.pause, run.losses)
        assert found == (self.state, self.epoch, self.pause, self.losses)
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
                "pending": self.pause is not None,
                "active": self.state not in FINAL,
            }.items()
            if belongs
        }

    def indexes(self) -> set[str]:
        async def read() -> set[str]:
            here, place = bus.current(), tag(self.run_id)
            keys = here.keys
            member = str(self.run_id)
            names = {
                "scheduled": (keys.scheduled(place), member),
                "executing": (keys.executing(place), f"{self.owner} {member}"),
                "pending": (keys.pending(place), member),
                "active": (keys.active(place), member),
            }
            scores = await here.requests.commands(*(("ZSCORE", *each) for each in names.values()))
            return {name for name, score in zip(names, scores, strict=True) if score is not None}

        return self.do(read)

    def teardown(self) -> None:
        if hasattr(self, "run_id") and self.state not in FINAL:  # so that its keys end
            self.do(lambda: runs.move(bus.current(), self.run_id, "Crashed"))


def test_a_run_does_as_its_model(server: Server) -> None:
    """Claims, losses, pauses, answers, cancels and late writes, in any order."""
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
