"""Answers from somebody who read a pause first, and may come when another one is open."""

from __future__ import annotations

import asyncio
import time
from enum import Enum
from typing import TYPE_CHECKING, Literal
from uuid import UUID, uuid4

import pytest
from pydantic import field_validator

from runbus import (
    RunInput,
    cancel_flow_run,
    flow,
    get_client,
    get_run_context,
    pause_flow_run,
    resume_flow_run,
)
from runbus.errors import AlreadyAnswered, AnswerRefused, FlowPauseTimeout, NotPaused
from runbus.store.bus import current_bus
from runbus.store.records import runs

if TYPE_CHECKING:
    from servers import Server

    from runbus.protocol.records import Pause


class Even(RunInput):
    number: int

    @field_validator("number")
    @classmethod
    def even(cls, number: int) -> int:
        if number % 2:
            raise ValueError("an even one, please")
        return number


class Verdict(Enum):
    YES = "yes"
    NO = "no"
    LATER = "later"


@flow
async def ask_for_a_verdict() -> Verdict:
    return await pause_flow_run(Literal[Verdict.YES, Verdict.NO], timeout=30)


@flow
async def ask_twice() -> list[int]:
    return [await pause_flow_run(int, timeout=30), await pause_flow_run(int, timeout=30)]


@flow
async def ask_until_even() -> int:
    while True:
        try:
            return (await pause_flow_run(Even, timeout=30, key="even")).number
        except ValueError:
            continue


async def asked(run_id: UUID, after: Pause | None = None) -> Pause:
    """The pause of a run, once it waits in another one than before."""
    while True:
        pause = await get_client().read_pause(run_id)
        if pause and (after is None or pause.opened > after.opened):
            return pause
        await asyncio.sleep(0.005)


async def begun() -> UUID:
    """The id of the only run."""
    while not (found := await get_client().read_flow_runs()):
        await asyncio.sleep(0.005)
    return found[0].id


async def test_one_of_an_enums_members_is_asked_for(valkey: Server) -> None:
    """The form offers the members that the literal names; the flow gets the member."""
    asking = asyncio.create_task(ask_for_a_verdict())
    run_id = await begun()
    pause = await asked(run_id)
    assert pause.schema
    assert pause.schema["properties"]["value"]["enum"] == ["yes", "no"]
    with pytest.raises(AnswerRefused):
        await resume_flow_run(run_id, {"value": "later"})
    await resume_flow_run(run_id, {"value": "no"})
    assert await asking is Verdict.NO


async def test_an_answer_to_the_last_question_is_not_taken_for_the_next(server: Server) -> None:
    """Who read the first question is told who was first, when and with what; the next waits on."""
    asking = asyncio.create_task(ask_twice())
    run_id = await begun()
    first = await asked(run_id)
    await resume_flow_run(run_id, {"value": 1}, by="ada", key=first.key, generation=1)
    second = await asked(run_id, after=first)
    with pytest.raises(AlreadyAnswered) as late:
        await resume_flow_run(run_id, {"value": 9}, key=first.key, generation=first.generation)
    assert (late.value.by, late.value.value) == ("ada", b'{"value":1}')
    assert late.value.when is not None
    assert late.value.when <= second.opened
    await resume_flow_run(run_id, {"value": 2}, key=second.key, generation=second.generation)
    assert await asking == [1, 2]
    with pytest.raises(AlreadyAnswered, match="ada"):  # also when the run has ended
        await resume_flow_run(run_id, {"value": 9}, key=first.key)


async def test_an_answer_to_a_question_that_is_asked_anew(server: Server) -> None:
    """The key is the same, the generation is not: what was typed for the old one is not taken."""
    asking = asyncio.create_task(ask_until_even())
    run_id = await begun()
    first = await asked(run_id)
    await resume_flow_run(run_id, {"number": 3}, key="even", generation=1)
    second = await asked(run_id, after=first)
    assert (second.key, second.generation) == ("even", 2)
    with pytest.raises(NotPaused, match="past that question"):
        await resume_flow_run(run_id, {"number": 4}, key="even", generation=1)
    with pytest.raises(AnswerRefused):
        await resume_flow_run(run_id, {"number": "x"}, key="even", generation=2)
    await resume_flow_run(run_id, {"number": 4}, key="even", generation=2)
    assert await asking == 4


async def test_an_answer_to_a_question_that_was_never_asked(valkey: Server) -> None:
    """No run is let go on by the key of another pause, or by none where it waits in one."""

    @flow
    async def ask() -> int:
        run_id = get_run_context().run_id
        waiting = asyncio.create_task(pause_flow_run(int, timeout=30, key="one"))
        await asked(run_id)
        for key in ("two", ""):
            with pytest.raises(NotPaused):
                await resume_flow_run(run_id, {"value": 1}, key=key)
        await resume_flow_run(run_id, {"value": 1}, key="one")
        return await waiting

    assert await ask() == 1


async def test_a_run_that_was_suspended_from_outside_has_no_key(valkey: Server) -> None:
    """It is let go on without one, and not by an answer to a pause."""
    bus, run_id = current_bus(), uuid4()
    run = await runs.create(bus, run_id, {"flow": "f", "deployment": "f/x"})
    await runs.move(bus, run, "Suspended", after=["Scheduled"])
    with pytest.raises(NotPaused):
        await resume_flow_run(run_id, key="1", generation=1)
    await resume_flow_run(run_id, key="")
    assert (await get_client().read_flow_run(run_id)).state.name == "Scheduled"
    await cancel_flow_run(run_id)


async def test_answers_at_the_moment_of_the_deadline(server: Server) -> None:
    """Who is told that the answer counts finds it in the flow; of the others it has nothing."""

    @flow
    async def ask() -> int | None:
        try:
            return await pause_flow_run(int, timeout=2)
        except FlowPauseTimeout:
            return None

    async def answer(run_id: UUID, number: int, after: float) -> int | None:
        while not (pauses := await get_client().read_pauses(run_id)):  # also one that is over
            await asyncio.sleep(0.005)
        assert pauses[0].deadline is not None
        await asyncio.sleep(pauses[0].deadline.timestamp() - time.time() + after)
        try:
            await resume_flow_run(run_id, {"value": number})
        except NotPaused:
            return None
        return number

    asking: list[asyncio.Task[int | None]] = []
    answering: list[asyncio.Task[int | None]] = []
    known: set[UUID] = set()
    around = (number / 500 for number in range(-30, 10))
    at_once = -2
    for number, after in enumerate((at_once, *around, 0.5)):  # seconds after the deadline
        asking.append(asyncio.create_task(ask()))
        while not (new := {run.id for run in await get_client().read_flow_runs()} - known):
            await asyncio.sleep(0)
        known |= new
        answering.append(asyncio.create_task(answer(new.pop(), number, after)))
    told = await asyncio.gather(*answering)
    assert told == await asyncio.gather(*asking)
    assert told[0] is not None
    assert told[-1] is None
