"""What users write, as a type checker sees it. This file is checked and never run."""

from __future__ import annotations

from typing import assert_type
from uuid import UUID, uuid4

from pydantic import BaseModel

from runbus import RunInput, bound_run, flow_run_id_for, receive_input, send_input
from runbus.input import AutomaticRunInput, Sent


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
