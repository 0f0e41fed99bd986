"""The user's own code runs in the user's own threads, and holds up nobody else's flows."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import pytest
from faults import LEASE_SECONDS, answer, started, until
from pydantic import BaseModel, field_serializer, field_validator, model_validator

from runbus import (
    RunInput,
    flow,
    get_client,
    get_run_context,
    pause_flow_run,
    receive_input,
    resume_flow_run,
    run_deployment,
    send_input,
    wait_for_flow_run,
)
from runbus.background.bridge import run as block
from runbus.errors import DeploymentMissing, FlowRunCancelled, NotPaused
from runbus.flow_runs import apause_flow_run
from runbus.variables import Variable

if TYPE_CHECKING:
    from uuid import UUID

    from faults import StartProcess
    from servers import Server

    from runbus.input import Form, Keyset

in_processes = pytest.mark.parametrize("server", ["valkey"], indirect=True)
seen: dict[str, set[str]] = {}


@pytest.fixture(autouse=True)
def seen_by_none() -> None:
    seen.clear()


def note(what: str) -> None:
    """Note where some code of the user's own runs."""
    seen.setdefault(what, set()).add(threading.current_thread().name)


class Number(RunInput):
    """A model with code of its own in every place where there can be some."""

    value: int

    @field_validator("value")
    @classmethod
    def validate_value(cls, value: int) -> int:
        note("validator")
        return value

    @field_serializer("value")
    def serialize_value(self, value: int) -> int:
        note("serializer")
        return value

    def encode(self) -> bytes:
        note("encode")
        return super().encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        note("decode")
        return super().decode(data)


class Asked(Number):
    """One that also asks and reads the answer its own way, and waits in it."""

    @classmethod
    async def save(cls, keyset: Keyset, flow_run_id: UUID | None = None) -> Form:
        note("save")
        await asyncio.sleep(0.001)
        await Variable.set("form", keyset["schema"], overwrite=True)
        return await super().save(keyset, flow_run_id)

    @classmethod
    async def load(cls, keyset: Keyset, flow_run_id: UUID | None = None) -> Self:
        note("load")
        assert await Variable.unset("form")
        return await super().load(keyset, flow_run_id)


class Result(BaseModel):
    """What a flow returns."""

    value: int

    @model_validator(mode="after")
    def look(self) -> Self:
        note("result's validator")
        return self

    @field_serializer("value")
    def serialize_value(self, value: int) -> int:
        note("result's serializer")
        return value


class Parameter:
    """What a flow is called with, and JSON has no words for."""

    def __repr__(self) -> str:
        note("parameter's repr")
        return "a parameter"


def answered_by_thread(ids: list[UUID]) -> threading.Thread:
    def resume() -> None:
        until(lambda: ids)
        until(lambda: resume_flow_run(ids[0], Number.model_construct(value=3)) is None, NotPaused)

    thread = threading.Thread(target=resume, name="answerer")
    thread.start()
    return thread


@flow
def child(parameter: Any) -> Result:
    return Result(value=1)


@flow
def parent(model: type[Number], ids: list[UUID]) -> int:
    child(Parameter())
    ids.append(get_run_context().run_id)
    number = pause_flow_run(model, timeout=20)
    send_input(number, ids[0])
    with pytest.raises(DeploymentMissing):
        run_deployment("no/where", {"number": number})
    return receive_input(model, timeout=5).next().value


@flow
async def async_parent(model: type[Number], ids: list[UUID]) -> int:
    child(Parameter())
    ids.append(get_run_context().run_id)
    number = await apause_flow_run(model, timeout=20)
    await send_input(number, ids[0])
    return (await anext(receive_input(model, timeout=5))).value


@pytest.mark.parametrize("model", [Number, Asked])
@pytest.mark.parametrize("is_async", [False, True])
def test_user_code_runs_where_the_flow_does(
    valkey: Server, model: type[Number], is_async: bool
) -> None:
    """In a sync flow's own thread, on an async flow's own loop, and nowhere else."""
    ids: list[UUID] = []
    found: list[int] = []

    def run() -> None:
        found.append(asyncio.run(async_parent(model, ids)) if is_async else parent(model, ids))

    flows = threading.Thread(target=run, name="the flow's own")
    answering = answered_by_thread(ids)
    flows.start()
    flows.join(30)
    answering.join(30)
    assert found == [3]
    own = {"save", "load"} if model is Asked else set[str]()
    assert seen.keys() >= {*own, "validator", "serializer", "encode", "decode"}
    assert seen.keys() >= {"parameter's repr", "result's validator", "result's serializer"}
    threads = set.union(*seen.values()) - {"answerer"}
    # A sync flow that is called on a loop has a thread of its own.
    assert threads == {"the flow's own"} | ({"runbus-flow"} if is_async else set())


@in_processes
def test_a_slow_validator_costs_no_run_its_lease(start_process: StartProcess) -> None:
    """It takes twice as long as a lease, and a neighbour converses as if it were not there."""
    start_process("nested.py", "0", "judge", "echo")
    judging, echoing, observer = started("judge/x"), started("echo/x"), uuid4()
    replies = receive_input(str, flow_run_id=observer, timeout=10)
    answer_number(judging)
    longest, end = 0.0, time.monotonic() + 2 * LEASE_SECONDS
    while time.monotonic() < end:
        begun = time.monotonic()
        send_input("hello", echoing, sender=observer)
        assert replies.next() == "hello"
        longest = max(longest, time.monotonic() - begun)
    send_input("end", echoing)
    run = wait_for_flow_run(judging, timeout=20)
    assert (run.state.result(), run.run_count) == ([5, True], 1)
    assert longest < LEASE_SECONDS / 2
    wait_for_flow_run(echoing, timeout=20)


def answer_number(run_id: UUID) -> None:
    until(lambda: resume_flow_run(run_id, {"number": 5}) is None, NotPaused)


class Interrupts(RunInput):
    """Whose validator leaves the flow."""

    value: int

    @field_validator("value")
    @classmethod
    def leave(cls, value: int) -> int:
        raise (KeyboardInterrupt if value else FlowRunCancelled(get_run_context().run_id))


@pytest.mark.parametrize("value", [0, 1])
def test_what_ends_a_flow_in_a_validator_ends_it(valkey: Server, value: int) -> None:
    """As it does elsewhere in the flow's code: nobody waits for the verb any more."""
    ids: list[UUID] = []

    @flow
    def ask() -> None:
        ids.append(get_run_context().run_id)
        pause_flow_run(Interrupts, timeout=20)

    def resume() -> None:
        until(lambda: ids)
        until(lambda: resume_flow_run(ids[0], {"value": value}) is None, NotPaused)

    answering = threading.Thread(target=resume)
    answering.start()
    with pytest.raises((KeyboardInterrupt, FlowRunCancelled)) as raised:
        ask()
    answering.join(20)
    wanted = ("Crashed", KeyboardInterrupt) if value else ("Cancelled", FlowRunCancelled)
    run = block(lambda: get_client().read_flow_run(ids[0]))
    assert (run.state.name, raised.type) == wanted


class Curious(RunInput):
    """Whose validator calls verbs, which block the flow's thread as any."""

    value: int

    @field_validator("value")
    @classmethod
    def look_up(cls, value: int) -> int:
        return value + (pause_flow_run(int, key="inner", timeout=20) if value < 10 else 0)


def test_a_validator_may_call_verbs(valkey: Server) -> None:
    """In a sync flow, even one that asks again."""
    ids: list[UUID] = []

    @flow
    def ask() -> int:
        ids.append(get_run_context().run_id)
        return pause_flow_run(Curious, key="outer", timeout=20).value

    def resume() -> None:
        until(lambda: ids)
        answer(ids[0], 4)
        until(lambda: pause_of(ids[0]) == "inner")
        answer(ids[0], 38)

    answering = threading.Thread(target=resume)
    answering.start()
    assert ask() == 42
    answering.join(20)


def pause_of(run_id: UUID) -> str | None:
    return block(lambda: get_client().read_flow_run(run_id)).pause
