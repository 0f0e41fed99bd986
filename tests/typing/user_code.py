"""What users write, as a type checker sees it. This file is checked and never run."""

from __future__ import annotations

import asyncio
from typing import assert_type
from uuid import UUID, uuid4

from pydantic import BaseModel

import runbus
from runbus import (
    AnswerRefused,
    RunInput,
    bound_run,
    cancel_flow_run,
    flow,
    flow_run_id_for,
    get_client,
    get_run_context,
    get_run_logger,
    pause_flow_run,
    receive_input,
    resume_flow_run,
    run_deployment,
    send_input,
    serve,
    suspend_flow_run,
    wait_for_flow_run,
)
from runbus.blocks.system import JSON
from runbus.deployments import arun_deployment
from runbus.flow_runs import (
    acancel_flow_run,
    apause_flow_run,
    aresume_flow_run,
    asuspend_flow_run,
    await_for_flow_run,
)
from runbus.input import AutomaticRunInput, Sent
from runbus.protocol.records import FlowRun, Pause
from runbus.variables import Variable


class Greeting(RunInput):
    text: str


class Order(BaseModel):
    number: int


async def in_async_code(run_id: UUID) -> None:
    """Everything may be awaited."""
    sent = await send_input(Greeting(text="hi"), run_id)
    assert_type(sent, Sent)
    assert_type(sent.entry_id, str | None)
    async with bound_run(run_id) as run:
        assert_type(run.flow_run_id, UUID)
        async for greeting in Greeting.receive(timeout=1, exclude_keys={"seen"}):
            assert_type(greeting, Greeting)
            assert_type(greeting.metadata.sender, str | None)
            await greeting.respond("hello")
        async for number in receive_input(int, timeout=None):
            assert_type(number, int)
        async for wrapped in receive_input(int, with_metadata=True):
            assert_type(wrapped, AutomaticRunInput[int])
        async for names in receive_input(list[str], 60, 1):
            assert_type(names, list[str])
        assert_type(await anext(receive_input(Order)), Order)
        assert_type(await anext(receive_input(Greeting, with_metadata=True)), Greeting)


def in_a_thread() -> None:
    """Nothing need be awaited."""
    run_id = flow_run_id_for("engine", "run 7")
    assert_type(send_input(1, str(run_id), key="first"), Sent)
    with bound_run(run_id):
        for greeting in receive_input(Greeting, raise_timeout_error=False):
            assert_type(greeting.send_to(uuid4(), sender="somebody"), Sent)
    form = Greeting.with_initial_data(description="**Who** is there?", text="me")
    assert_type(form, type[Greeting])


@flow
async def ask(times: int) -> str:
    """The typed spellings of the verbs tell what they return."""
    assert_type(await apause_flow_run(), None)
    assert_type(await apause_flow_run(wait_for_input=str, timeout=60), str)
    assert_type(await apause_flow_run(Greeting.with_initial_data(text="me")), Greeting)
    assert_type(await apause_flow_run(list[int]), list[int])
    order = await asuspend_flow_run(Order, timeout=None)
    assert_type(order, Order)
    numbers = receive_input(int)
    assert_type(await anext(numbers), int)
    assert_type(await Variable.aunset("seats"), bool)
    get_run_logger().info("%d in %s", order.number, get_run_context().flow_run.name)
    return await apause_flow_run(str, key=f"pause-{times}")


@flow
async def ask_in_the_same_words(run_id: UUID) -> str:
    """The plain spellings are awaited too where they give nothing, or a class of runbus."""
    await pause_flow_run()
    await suspend_flow_run(timeout=None)
    greeting = await pause_flow_run(Greeting.with_initial_data(text="me"))
    assert_type(greeting, Greeting)
    assert_type(await suspend_flow_run(wait_for_input=Greeting), Greeting)
    assert_type(await Greeting.receive().next(), Greeting)
    assert_type(await run_deployment("ask/x", {"times": 1}), FlowRun)
    assert_type(await asyncio.wait_for(wait_for_flow_run(run_id), 60), FlowRun)
    await resume_flow_run(run_id, {"text": "hi"})
    await asyncio.create_task(cancel_flow_run(run_id))
    assert_type(await JSON.load("seats"), JSON)
    await JSON(value=4).save("seats")
    await Variable.set("seats", 4)
    seats: int = await Variable.get("seats")
    return greeting.text * seats


@flow(name="ask-in-a-thread", retries=2, timeout_seconds=60)
def ask_in_a_thread(name: str = "me") -> int:
    """The plain spellings are their values, and nothing need be said."""
    seats = pause_flow_run(int)
    assert_type(seats, int)
    seats += 1  # it is an int like any other
    assert_type(pause_flow_run(bool), bool)
    assert_type(pause_flow_run(Order), Order)
    assert_type(pause_flow_run(Greeting), Greeting)
    assert_type(suspend_flow_run(dict[str, float], timeout=3600), dict[str, float])
    either: int | str = pause_flow_run(int | str)
    run = run_deployment("ask/x", {"times": either}, timeout=0, tags=["tea"])
    assert_type(run, FlowRun)
    pause_flow_run(timeout=60)
    resume_flow_run(run.id, {"text": name}, by="me")
    ended = wait_for_flow_run(run.id, timeout=60)
    assert_type(ended, FlowRun)
    cancel_flow_run(ended.id)
    assert_type(receive_input(int).next(), int)
    assert_type(Greeting.receive().next(), Greeting)
    Variable.set("seats", seats, overwrite=True)
    stored: int = Variable.get("seats", default=4)
    assert_type(Variable.unset("seats"), bool)
    JSON(value={"seats": stored}).save("seats")
    assert_type(JSON.load("seats"), JSON)
    return seats if suspend_flow_run(bool) and ended.state.is_completed() else 0


async def from_outside(run_id: UUID) -> None:
    """A flow keeps its parameters and its result; the client knows what it reads."""
    assert_type(await ask(times=1), str)
    assert_type(ask_in_a_thread("you"), int)
    async with get_client() as client:
        assert_type(await client.read_flow_run(run_id), FlowRun)
        assert_type(await client.read_flow_runs(limit=10), list[FlowRun])
        assert_type(await client.read_pause(run_id), Pause | None)
    run = await arun_deployment("ask/x", {"times": 1}, idempotency_key="order 7")
    assert_type(run, FlowRun)
    assert_type(await await_for_flow_run(run.id), FlowRun)
    await aresume_flow_run(run.id, {"text": "hi"})
    await acancel_flow_run(run.id)
    await JSON(value={"seats": 4}).save("seats", overwrite=True)


def in_a_worker() -> None:
    """Flows of every kind are served together."""
    serve(ask.to_deployment("x"), ask_in_a_thread.to_deployment("y", limit=2), limit=10)
    ask_in_a_thread.serve("y")
    asyncio.run(ask.serve("x"))


def by_the_package_alone(run_id: UUID) -> None:
    """What is imported when it is asked for has its type without that, too."""
    assert_type(runbus.runtime.flow_run.id, str | None)
    try:
        runbus.resume_flow_run(run_id, {"text": "hi"})
    except AnswerRefused as refused:
        assert_type(refused.problems, dict[str, str])
