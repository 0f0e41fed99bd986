"""What cannot fit is refused before it is accepted, over real streams: Python, by hand, a start."""

from __future__ import annotations

import asyncio
import base64
from datetime import date
from decimal import Decimal
from enum import Enum
from numbers import Number  # noqa: TC003  (of a flow, which is called with it)
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, RootModel, Strict, ValidationError
from test_answers_to_a_pause import asked, begun

from runbus import (
    AnswerRefused,
    ParametersRefused,
    RunInput,
    cancel_flow_run,
    flow,
    get_client,
    pause_flow_run,
    resume_flow_run,
    run_deployment,
)
from runbus.protocol.keys import Keys
from runbus.redaction import shown_run
from runbus.store.bus import current_bus
from runbus.store.records import deployments

if TYPE_CHECKING:
    from servers import Server

LONG = "12345678901234567890.123456789"


class Numbers(RootModel[list[int]]):
    pass


class Bill(RunInput):
    total: Annotated[Decimal, Field(le=Decimal("1e30"))]
    isLate: bool = Field(default=False, alias="is-late")


async def answered(wanted: Any, by: Any, wrong: list[Any]) -> Any:
    """What a flow gets that asks for a type, after answers that were refused."""

    @flow
    async def ask() -> Any:
        return await pause_flow_run(wanted, timeout=30)

    asking = asyncio.create_task(ask())
    run_id = await begun()
    await asked(run_id)
    for each in wrong:
        with pytest.raises(AnswerRefused):
            await resume_flow_run(run_id, each)
    await by(run_id)
    return await asking


async def test_a_root_model_is_asked_for(valkey: Server) -> None:
    """It is the value of a form with one field, and comes as the model."""
    wrong = [{"value": ["a"]}, {"root": [1]}, {}]
    got = await answered(Numbers, lambda run_id: resume_flow_run(run_id, {"value": [1, 2]}), wrong)
    assert got == Numbers([1, 2])


async def test_a_decimal_keeps_its_digits_from_python(valkey: Server) -> None:
    """And a field may be given by its own name; one that is not there is refused."""
    wrong = [{"total": 1, "totl": 2}, {"total": Decimal("1e31")}, {"total": True}]
    answer = {"total": Decimal(LONG), "isLate": True}
    got = await answered(Bill, lambda run_id: resume_flow_run(run_id, answer), wrong)
    assert (repr(got.total), got.isLate) == (f"Decimal('{LONG}')", True)


async def test_an_entry_by_hand_is_judged_and_kept_alike(
    valkey: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """One that does not fit is passed over; a number in it keeps its digits."""

    async def by_hand(run_id: Any) -> None:
        with valkey.client() as client:
            for total in ('"many"', "1e31", LONG):
                client.xadd(Keys("runbus").resume(run_id), {"value": f'{{"total": {total}}}'})

    got = await answered(Bill, by_hand, [])
    assert repr(got.total) == f"Decimal('{LONG}')"
    assert caplog.text.count("was passed over: total: it must be") == 2


@flow
def pay(total: Annotated[Decimal, Field(ge=0, decimal_places=2)], copies: int = 1) -> None: ...


async def test_parameters_are_judged_when_the_run_is_made(valkey: Server) -> None:
    """By what the worker has told of its flow; none is made of those that do not fit."""
    await deployments.register(current_bus(), "pay/x", pay.to_deployment("x").fields())
    wrong: list[dict[str, Any]] = [
        {},
        {"total": -1},
        {"total": Decimal("0.125")},
        {"total": 1, "copies": "many"},
        {"total": 1, "others": 2},
    ]
    for parameters in wrong:
        with pytest.raises(ParametersRefused) as refused:
            await run_deployment("pay/x", parameters, timeout=0)
        assert "it " in str(refused.value) or "no such parameter: the" in str(refused.value)
    assert await get_client().read_flow_runs() == []
    run = await run_deployment("pay/x", {"total": Decimal("0.10")}, timeout=0)
    assert run.parameters == {"total": "0.10"}
    await cancel_flow_run(run.id)
    lax = await run_deployment("pay/x", {"total": 1, "copies": "2"}, timeout=0)
    await cancel_flow_run(lax.id)


class Card(BaseModel):
    kind: Literal["card"] = "card"
    number: str


class Iban(BaseModel):
    kind: Literal["iban"] = "iban"
    iban: str


Means = Annotated[Card | Iban, Field(discriminator="kind")]


class Payment(RunInput):
    by: Means


@flow
def transfer(by: Means | None = None, others: list[Means] = []) -> None: ...  # noqa: B006


async def test_the_tag_of_a_kind_is_asked_for(valkey: Server) -> None:
    """Though each kind has a default for it: the flow needs one, of an answer and of parameters."""
    untagged, tagged = {"number": "1"}, {"kind": "card", "number": "1"}
    wrong = [{"by": untagged}, {"by": {"kind": "cash"}}]
    got = await answered(Payment, lambda run_id: resume_flow_run(run_id, {"by": tagged}), wrong)
    assert got.by == Card(number="1")
    await deployments.register(current_bus(), "transfer/x", transfer.to_deployment("x").fields())
    for parameters, place in (
        ({"by": untagged}, "by.kind"),
        ({"others": [tagged, untagged]}, "others.2.kind"),
    ):
        with pytest.raises(ParametersRefused) as refused:
            await run_deployment("transfer/x", parameters, timeout=0)
        assert f"{place}: it is required, one of card, iban" in str(refused.value)


@flow(name="pay")
def pay_newer(total: Decimal, currency: str) -> None: ...


async def test_what_is_served_now_judges_the_parameters(valkey: Server) -> None:
    """A form that was read a moment ago refuses nothing that the newest one takes."""
    bus = current_bus()
    await deployments.register(bus, "pay/x", pay.to_deployment("x").fields())
    await cancel_flow_run((await run_deployment("pay/x", {"total": 1}, timeout=0)).id)
    await deployments.register(bus, "pay/x", pay_newer.to_deployment("x").fields())
    newer = {"total": 1, "currency": "EUR"}
    await cancel_flow_run((await run_deployment("pay/x", newer, timeout=0)).id)
    with pytest.raises(ParametersRefused, match="currency: it is required"):
        await run_deployment("pay/x", {"total": 1}, timeout=0)


class Plain(BaseModel):
    data: bytes


class Encoded(RunInput):
    data: bytes


@flow
def store(data: bytes, more: Plain, others: list[bytes], either: bytes | int = b"\xff") -> None: ...


BYTES = b"hello \xff\x00"


async def test_bytes_are_the_same_bytes_in_the_flow(valkey: Server) -> None:
    """Of parameters: in Python as bytes, as JSON in base64; in a plain model by its own config."""
    await deployments.register(current_bus(), "store/x", store.to_deployment("x").fields())
    text = base64.urlsafe_b64encode(BYTES).decode()
    given: list[dict[str, Any]] = [
        {"data": BYTES, "more": {"data": b"hello"}, "others": [BYTES]},
        {"data": text, "more": {"data": "hello"}, "others": [text]},
        {"data": BYTES, "more": Plain(data=b"hello"), "others": [BYTES], "either": b"\xff"},
    ]
    for parameters in given:
        run = await run_deployment("store/x", parameters, timeout=0)
        call = store.prepare_stored(run.parameters)
        assert call.parameters == {
            "data": BYTES,
            "more": Plain(data=b"hello"),
            "others": [BYTES],
            "either": b"\xff",
        }
        await cancel_flow_run(run.id)
    with pytest.raises(ParametersRefused, match="data: it must be bytes in base64"):
        await run_deployment("store/x", {**given[1], "data": "hello"}, timeout=0)


@pytest.mark.parametrize("wanted", [Plain, Encoded, bytes])
async def test_bytes_of_an_answer_are_the_same_bytes(valkey: Server, wanted: Any) -> None:
    """Whichever way the model writes them."""
    field = "value" if wanted is bytes else "data"
    got = await answered(wanted, lambda run_id: resume_flow_run(run_id, {field: b"hello"}), [])
    assert (got if wanted is bytes else got.data) == b"hello"


class Booking(RunInput):
    day: date | str = date(2026, 11, 25)
    seats: Annotated[int, Field(ge=1)] = 0
    name: str


async def test_a_default_is_the_flows_own(valkey: Server) -> None:
    """It needs not fit, nor become what its JSON would be read as."""
    wrong = [{"name": "Ada", "seats": -1}]
    got = await answered(Booking, lambda run_id: resume_flow_run(run_id, {"name": "Ada"}), wrong)
    assert repr(got) == "Booking(day=datetime.date(2026, 11, 25), seats=0, name='Ada')"


@flow
def book(seats: Annotated[int, Field(ge=1)] = 0, day: date | str = date(2026, 11, 25)) -> None: ...


async def test_a_parameters_default_is_the_flows_own(valkey: Server) -> None:
    """Also where the page sends it along."""
    await deployments.register(current_bus(), "book/x", book.to_deployment("x").fields())
    for parameters in ({}, {"seats": 0, "day": "2026-11-25"}):
        run = await run_deployment("book/x", parameters, timeout=0)
        assert book.prepare_stored(run.parameters).parameters == {
            "seats": 0,
            "day": date(2026, 11, 25),
        }
        await cancel_flow_run(run.id)
    with pytest.raises(ParametersRefused, match="at least 1"):
        await run_deployment("book/x", {"seats": -1}, timeout=0)


@flow
def charge(total: Annotated[Decimal, Field(decimal_places=1)]) -> None: ...


@pytest.mark.parametrize("total", ["12345678901234567890.123", Decimal("0.12"), 0.12])
async def test_a_decimal_parameter_is_judged_by_all_of_its_digits(
    valkey: Server, total: Any
) -> None:
    """However many a float has of them."""
    await deployments.register(current_bus(), "charge/x", charge.to_deployment("x").fields())
    with pytest.raises(ParametersRefused, match="at most 1 digits after the point"):
        await run_deployment("charge/x", {"total": total}, timeout=0)


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


@flow
def fold(size: Literal[Size.SMALL], sizes: list[Literal[Size.LARGE]], when: date) -> None: ...


def test_a_literal_is_read_as_it_is_written() -> None:
    """Pydantic itself reads but the member of an enum, and not its value."""
    stored = {"size": "s", "sizes": ["l"], "when": "2026-11-25"}
    assert fold.prepare_stored(stored).parameters == {
        "size": Size.SMALL,
        "sizes": [Size.LARGE],
        "when": date(2026, 11, 25),
    }


@flow
def count(number: Number) -> None: ...


def test_a_class_that_json_does_not_know_is_asked_for_all_the_same() -> None:
    """A number is a `numbers.Number`; and a strict type takes the JSON that it writes."""
    assert count.prepare_stored({"number": 2}).parameters["number"] == 2
    assert fold_strictly.prepare_stored({"when": "2026-11-25"}).parameters == {
        "when": date(2026, 11, 25)
    }
    with pytest.raises(ValidationError):
        count.prepare_stored({"number": "two"})


@flow
def fold_strictly(when: Annotated[date, Strict()]) -> None: ...


async def test_what_may_be_a_secret_is_shown_nowhere(valkey: Server) -> None:
    """Nothing says any more what a flow marks as one: its deployment's record is gone."""
    bus = current_bus()
    await deployments.register(bus, "pay/x", pay.to_deployment("x").fields())
    run = await run_deployment("pay/x", {"total": 1}, timeout=0)
    assert (await shown_run(run)).parameters == {"total": 1}
    with valkey.client() as client:
        client.delete(bus.keys.deployment("pay/x"))
    bus.served.clear()
    assert (await shown_run(run)).parameters == {"total": "…"}
    await cancel_flow_run(run.id)
