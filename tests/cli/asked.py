"""Flows that ask, for the tests of the command line: each is called in a process of its own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import date  # noqa: TC003
from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator

from runbus import RunInput, flow, get_run_logger, pause_flow_run, receive_input


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Address(BaseModel):
    street: str
    number: int = Field(ge=1)


class Approval(RunInput):
    approved: bool = Field(description="Shall it go out?")
    comment: str = "no comment"


class Release(RunInput):
    approved: bool
    code: SecretStr = SecretStr("")


class Everything(RunInput):
    name: str = Field(min_length=2, title="Your name")
    age: Annotated[int, Field(ge=0, le=150)]
    share: float = 0.5
    colour: Colour
    size: Literal["S", "M", "L"] = "M"
    born: date
    nickname: str | None = None
    tags: list[str] = Field(default=[])
    home: Address
    office: Address | None = None
    others: list[Address] = Field(default=[])
    limits: dict[str, int] = Field(default={})
    place: tuple[float, float] | None = None
    secret: SecretStr = SecretStr("")


QUESTION = "Shall **The news** go out? See [the draft](https://example.org/draft)."
HOSTILE = "\x1b]0;owned\x07\x1b[31mred\x9b2J [bold]text[/bold]"


@flow
async def publish():
    get_run_logger().info("asking")
    answer = await pause_flow_run(Approval.with_initial_data(description=QUESTION), timeout=600)
    return f"{answer.approved}: {answer.comment}"


class Plain(RunInput):
    approved: bool
    comment: str = "no comment"


@flow(name="publish")
async def of_the_readme():
    await pause_flow_run(Plain.with_initial_data(description="Shall **The news** go out?"))


@flow
async def publish_twice():
    return [(await pause_flow_run(Approval, timeout=600)).comment for _ in range(2)]


@flow
async def everything():
    answer = await pause_flow_run(Everything)
    return answer.model_dump(mode="json") | {"secret": answer.secret.get_secret_value()}


class Table(RunInput):
    seats: int
    name: str
    code: SecretStr = SecretStr("")

    @field_validator("seats")
    @classmethod
    def pairs(cls, seats: int) -> int:
        if seats % 2:
            raise ValueError("we have pairs of seats alone")
        return seats


@flow
async def reserve():
    while True:
        with suppress(ValidationError):
            table = await pause_flow_run(Table, timeout=600)
            return f"{table.seats} for {table.name}"


@flow
async def count():
    return await pause_flow_run(int)


@flow
async def release():
    await pause_flow_run(Release)


@flow
async def go_on():
    await pause_flow_run()


@flow(flow_run_name=HOSTILE)
async def hostile():
    get_run_logger().info(HOSTILE)
    question = Approval.with_initial_data(description=HOSTILE)
    await pause_flow_run(question)


@flow
async def chat():
    async for word in receive_input(str):
        if word == "bye":
            return
        get_run_logger().info("heard %s", word)


@flow
async def fail():
    raise ValueError("on purpose")


@flow
async def greet(name: str, times: int = 1):
    """Greets."""
    if name == "nobody":
        raise ValueError("nobody is there")
    if name == "somebody":
        name = await pause_flow_run(str)
    if name == "whoever writes":
        name = await receive_input(str).next()
    return f"Hello, {name}! " * times


def call(name: str) -> None:
    """Call one of these flows."""
    asyncio.run(globals()[name]())


def serve() -> None:
    """Serve `greet/demo`."""
    greet.serve(name="demo")
