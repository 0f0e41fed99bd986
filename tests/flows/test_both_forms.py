"""Each verb with and without `await`: one result, also when the flow runs again."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from faults import PATIENCE, answer, result_of, started, until

from runbus import (
    Flow,
    cancel_flow_run,
    get_run_context,
    pause_flow_run,
    receive_input,
    resume_flow_run,
    run_deployment,
    send_input,
    suspend_flow_run,
    wait_for_flow_run,
)
from runbus.blocks.system import JSON
from runbus.errors import AlreadyEnded, CannotPause, NotPaused, RunNotEnded
from runbus.variables import Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from faults import StartWorker
    from servers import Server

ERRORS = (AlreadyEnded, CannotPause, NotPaused, RunNotEnded, TimeoutError, ValueError)
Step = tuple[str, "Callable[[], Any]"]


def tour(seen: dict[str, Any]) -> Generator[Step, Any]:
    """Yield calls of the verbs; what each of them gives is sent back."""
    run_id = get_run_context().run_id
    yield "pause", lambda: pause_flow_run(int)
    yield "a pause with a key", lambda: pause_flow_run(bool, key="sure")
    yield "a pause without time", lambda: pause_flow_run(int, timeout=0, key="none")
    yield "suspend", suspend_flow_run
    inbox = receive_input(str, timeout=10)
    yield "send", lambda: send_input("to myself", run_id, key="mine")
    yield "receive", inbox.next
    yield "receive in vain", lambda: receive_input(float, timeout=0).next()
    child = yield "start", lambda: run_deployment("double/x", {"number": 4}, timeout=0)
    seen["child"] = child.id
    yield "wait", lambda: wait_for_flow_run(child.id, timeout=PATIENCE)
    yield "wait in vain", lambda: wait_for_flow_run(run_id, timeout=0)
    yield "start and wait", lambda: run_deployment("double/x", {"number": 5})
    yield "cancel", lambda: cancel_flow_run(child.id)
    yield "resume", lambda: resume_flow_run(child.id, {"value": 1})
    yield "set", lambda: Variable.set("colour", "green", overwrite=True)
    yield "get", lambda: Variable.get("colour")
    yield "save", lambda: JSON(value=[1, 2]).save("numbers", overwrite=True)
    yield "load", lambda: JSON.load("numbers")
    yield "load in vain", lambda: JSON.load("nothing")


def in_words(outcome: Any) -> str:
    if isinstance(outcome, Exception):
        return f"raised {type(outcome).__name__}"
    if hasattr(outcome, "state"):
        state = outcome.state
        return f"a run, {state.result()}" if state.is_completed() else "a run"
    if isinstance(outcome, (JSON, Variable)):
        return f"{type(outcome).__name__} {outcome.value}"
    return repr(outcome) if isinstance(outcome, (int, str, list)) else str(type(outcome).__name__)


class Journey:
    """One tour, whose transcript is kept; the flow that makes it is called twice."""

    def __init__(self, journeys: list[Journey]) -> None:
        self.run_id = get_run_context().run_id
        self.words: list[str] = []
        self.seen: dict[str, Any] = {}
        self._steps = tour(self.seen)
        self._journeys = journeys
        journeys.append(self)

    def next_step(self, outcome: Any = None) -> Step | None:
        try:
            return self._steps.send(outcome)
        except StopIteration:
            if len(self._journeys) == 1:
                raise LookupError("so that the flow runs again") from None
            return None

    def note(self, step: Step, outcome: Any) -> None:
        # How far a run is that was only started, is a matter of time.
        told = type(outcome).__name__ if step[0] == "start" else in_words(outcome)
        self.words.append(f"{step[0]}: {told}")


def travel(journeys: Any) -> None:  # not a list[…], of which a flow would be given a copy
    journey = Journey(journeys)
    step = journey.next_step()
    while step is not None:
        try:
            outcome = step[1]()
        except ERRORS as error:
            outcome = error
        journey.note(step, outcome)
        step = journey.next_step(outcome)


async def travel_async(journeys: Any) -> None:
    journey = Journey(journeys)
    step = journey.next_step()
    while step is not None:
        try:
            outcome = await step[1]()
        except ERRORS as error:
            outcome = error
        journey.note(step, outcome)
        step = journey.next_step(outcome)


def transcripts_of(function: Callable[[Any], Any]) -> list[list[str]]:
    """What a flow is given in its first call and in its retry."""
    journeys: list[Journey] = []

    def reply() -> None:
        until(lambda: journeys)
        answer(journeys[0].run_id, 3)
        answer(journeys[0].run_id, True)

    replier = threading.Thread(target=reply)
    replier.start()
    done = Flow(function, retries=1)(journeys)
    if done is not None:
        asyncio.run(done)
    replier.join(PATIENCE)
    assert len({journey.seen["child"] for journey in journeys}) == 1
    return [journey.words for journey in journeys]


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
@pytest.mark.keys_without_lifetime
def test_every_verb_in_both_forms_and_again(server: Server, start_worker: StartWorker) -> None:
    """With and without `await`, in the first call and in a retry, which is asked nothing again."""
    start_worker("double")
    assert result_of(started("double/x", {"number": 1})) == 2
    first, again = transcripts_of(travel)
    first_async, again_async = transcripts_of(travel_async)
    assert first[:3] == [
        *("pause: 3", "a pause with a key: True"),
        "a pause without time: raised FlowPauseTimeout",
    ]
    assert "wait: a run, 8" in first
    assert "start and wait: a run, 10" in first
    assert first == first_async == again == again_async
