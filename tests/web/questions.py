"""Flows that ask, for the page's tests: `python -m questions book` calls one."""

from __future__ import annotations

import contextlib
import sys
from datetime import date  # noqa: TC003 - pydantic reads it
from decimal import Decimal
from typing import Literal, Self

from pydantic import (
    BaseModel,
    Field,
    Secret,
    SecretStr,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from runbus import RunInput, flow, get_run_logger, pause_flow_run, receive_input
from runbus.errors import FlowRunCancelled

HOSTILE = "<img src=x onerror=alert('field')>"


class Guest(BaseModel):
    name: str = Field(min_length=2)
    age: int | None = Field(None, ge=0, le=150)


class Booking(RunInput):
    """A booking."""

    seats: int = Field(ge=1, le=8, description="How many people come along")
    name: str = Field("anonymous", min_length=2, description="Whom shall we write to?")
    size: Literal["small", "large"]
    price: Decimal = Field(Decimal("12.50"), ge=0)
    day: date | None = None
    sure: bool
    guests: list[Guest] = Field([])


class Hostile(RunInput):
    x: str = Field(
        title=HOSTILE, description=f"{HOSTILE} &lt;script&gt;alert('help')&lt;/script&gt;"
    )
    y: Literal["</select><script>alert('option')</script>", "b"]


DESCRIPTION = """Shall **12 people** get the *large* room?

- it is free
- it has [a view](https://example.org/)

<script>alert('description')</script>
[press here](javascript:alert('link'))
"""


class Signing(RunInput):
    word: str = Field(pattern=r"^\w+$")
    guests: int = Field(ge=1, json_schema_extra={"error": "Bring at least one guest"})
    price: Decimal = Field(Decimal("12.50"), ge=0)
    weight: float = 1.5
    password: SecretStr
    pin: Secret[int]
    spare: list[SecretStr] = Field(min_length=1)


@flow
def sign() -> list[str]:
    signed = pause_flow_run(Signing, timeout=600)
    return [signed.word, str(signed.price)]


@flow
def book() -> str:
    get_run_logger().info("A booking came in")
    asked = Booking.with_initial_data(description=DESCRIPTION, name="Ada Lovelace")
    booking = pause_flow_run(asked, timeout=600)
    get_run_logger().info("Booked for %s", booking.name)
    return f"{booking.seats} seats for {booking.name}"


class Table(RunInput):
    seats: int
    name: str
    code: SecretStr = SecretStr("")
    guests: list[Guest] = Field([])

    @field_validator("seats")
    @classmethod
    def pairs(cls, seats: int) -> int:
        if seats % 2:
            raise ValueError("we have pairs of seats alone")
        return seats

    @model_validator(mode="after")
    def has_room(self) -> Self:
        if self.seats < len(self.guests):
            raise ValueError("there are more guests than seats")
        return self


@flow
def reserve() -> str:
    while True:
        with contextlib.suppress(ValidationError):
            return pause_flow_run(Table, timeout=600).name


@flow
def ask() -> str:
    return f"Hello, {pause_flow_run(str, timeout=300)}!"


@flow
def ask_twice() -> list[str]:
    return [pause_flow_run(str, timeout=300), pause_flow_run(str, timeout=300)]


@flow
def approve() -> bool:
    return pause_flow_run(bool, timeout=900)


@flow
def go_on() -> None:
    pause_flow_run(timeout=600)


@flow
def be_hostile() -> str:
    question = Hostile.with_initial_data(description=HOSTILE, x=HOSTILE)
    return pause_flow_run(question, timeout=600).x


@flow
def chat() -> str:
    for word in receive_input(str, timeout=60):
        get_run_logger().info("heard %s", word)
        if word == "stop":
            return "stopped"
    return "nothing"


@flow
def greet(name: str, times: int = 1, loud: bool = False) -> str:
    """Greets *somebody*, several times."""
    return " ".join([f"Hello, {name}{'!' if loud else '.'}"] * times)


@flow
def be_huge() -> int:
    """Ask for 1,500 unions, with 1 MB of JSON Schema and a value for each."""
    told = Field(description="x" * 400)
    parts = [create_model(f"Part{number}", number=(int, told)) for number in range(1500)]
    fields = {f"f{number}": (part | int, 5) for number, part in enumerate(parts)}
    return pause_flow_run(create_model("Huge", __base__=RunInput, **fields), timeout=600).f0


class Catastrophe(RunInput):
    runaway: str = Field(json_schema_extra={"pattern": "^(a+)+$"})
    again: str = Field(json_schema_extra={"pattern": "^(a|aa)+$"})
    tame: str = Field(json_schema_extra={"pattern": "^[a-z]+$"})


@flow
def be_catastrophic() -> str:
    return pause_flow_run(Catastrophe, timeout=600).tame


if __name__ == "__main__":
    with contextlib.suppress(FlowRunCancelled):
        globals()[sys.argv[1]]()
