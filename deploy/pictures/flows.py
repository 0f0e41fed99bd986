"""The flows that the pictures show: `python deploy/pictures/flows.py` serves them."""

from __future__ import annotations

from datetime import date  # noqa: TC003 - pydantic reads it
from decimal import Decimal
from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from runbus import RunInput, flow, get_run_logger, pause_flow_run, receive_input, serve


class Decision(RunInput):
    decision: Literal["print it", "hold it back"] = Field(description="The press starts at once.")
    copies: int = Field(1200, ge=100, le=5000, description="How many the shop has ordered")
    day: date | None = Field(None, title="Release day", description="Blank: as soon as it is done")
    note: str = Field("", max_length=500, description="Goes to the printer with the order")


class Payment(RunInput):
    approved: bool
    amount: Decimal = Field(Decimal("1840.00"), ge=0)


class Colour(Enum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"


class Guest(BaseModel):
    name: str = Field(min_length=2)
    age: int | None = Field(None, ge=0, le=150)


class Train(BaseModel):
    by: Literal["train"]
    seat: Literal["window", "aisle"] = "window"


class Bike(BaseModel):
    by: Literal["bike"]
    kilometres: float = Field(ge=0)


class Everything(RunInput):
    """Each kind of field that there is."""

    whole: int = Field(ge=1, le=8, description="How many people come along")
    number: float = Field(0.5, gt=0, lt=1)
    price: Decimal = Decimal("12.50")
    text: str = Field(min_length=2, examples=["Ada Lovelace"])
    long: str = Field("", max_length=2000)
    code: str = Field(pattern=r"^[A-Z]{3}-\d+$", examples=["ABC-12"])
    sure: bool
    loud: bool = False
    day: date | None = None
    when: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    at: Annotated[str, Field(json_schema_extra={"format": "time"})] = "19:00"
    size: Literal["small", "large"]
    colour: Colour | None = None
    tags: list[str] = Field(["news"])
    guests: list[Guest] = Field([Guest(name="Bob", age=7)])
    travel: Train | Bike = Field(discriminator="by")
    prices: dict[str, float] = Field({"tea": 2.5})
    anything: int | str | None = None


PROOF = """The second proof of **{title}** is ready.

- 212 pages, cover in two colours
- the index was set again
- corrections of 14 pages are in, see [the list](https://example.org/corrections)
"""


@flow
def print_book(title: str = "Notes by Ada", edition: int = 2) -> str:
    """Prints a book once somebody has looked at the *proof*."""
    get_run_logger().info("Setting %s, edition %s", title, edition)
    get_run_logger().info("212 pages, 14 of them corrected")
    asked = Decision.with_initial_data(description=PROOF.format(title=title))
    decision = pause_flow_run(asked, timeout=2 * 3600 + 55)
    get_run_logger().info("%s: %s copies", decision.decision, decision.copies)
    return f"{decision.decision}: {decision.copies} copies of {title}"


@flow
def pay_invoice(supplier: str, minutes: int = 40) -> bool:
    """Pays, once somebody has approved."""
    asked = Payment.with_initial_data(description=f"May **{supplier}** be paid?")
    return pause_flow_run(asked, timeout=minutes * 60).approved


@flow
def name_ship() -> str:
    """Asks for one word."""
    return pause_flow_run(str, timeout=86_400)


@flow
def order_all() -> str:
    """Asks for each kind of field."""
    return pause_flow_run(Everything, timeout=None).text


@flow
def collect(words: int = 3) -> list[str]:
    """Collects words that others send."""
    inbox = receive_input(str, timeout=None)
    found = [inbox.next() for _ in range(words)]
    get_run_logger().warning("%s words are enough", words)
    return found


@flow
def break_down() -> None:
    """Fails."""
    raise ValueError("The press has no paper")


if __name__ == "__main__":
    serve(
        print_book.to_deployment("press"),
        pay_invoice.to_deployment("office"),
        name_ship.to_deployment("harbour"),
        order_all.to_deployment("test"),
        collect.to_deployment("test"),
        break_down.to_deployment("test"),
    )
