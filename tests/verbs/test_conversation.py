"""Runs that talk to each other: the input verbs from the first send to the hard cases.

Read from the top it is a tutorial. Both sides are real, and so is the server between them.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, ValidationError

from runbus import (
    RunbusError,
    RunInput,
    RunInputMetadata,
    bound_run,
    flow,
    flow_run_id_for,
    receive_input,
    send_input,
)
from runbus.errors import (
    InvalidArgument,
    KeyInUse,
    MalformedEntry,
    NobodyToAnswer,
    ReceiveTimeout,
    RunFinished,
)
from runbus.store.bus import current_bus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import Server

MEBIBYTE = 1024 * 1024


class Greeting(RunInput):
    name: str
    times: int = 1


class Order(BaseModel):
    """A model that knows nothing of runbus."""

    article: str
    amount: int


class Answer(RunInput):
    text: str


def key_of(run_id: UUID, name: str) -> str:
    """The key of a stream, as a person would write it by hand."""
    return f"runbus:{{{run_id.hex[-2:]}}}:{run_id}:input:{name}"


def add_by_hand(server: Server, run_id: UUID, name: str, fields: dict[Any, Any]) -> str:
    """Add an entry as somebody with `redis-cli` would; return its id."""
    with server.client() as client:
        entry_id = client.xadd(key_of(run_id, name), fields)
        client.expire(key_of(run_id, name), 600)
    return str(entry_id)


def all_now(input_type: Any, run_id: UUID, **options: Any) -> list[Any]:
    """Every input that is there now."""
    inbox = receive_input(
        input_type, timeout=0, raise_timeout_error=False, flow_run_id=run_id, **options
    )
    return list(inbox)


async def all_now_async(input_type: Any, run_id: UUID, **options: Any) -> list[Any]:
    """Every input that is there now, on an event loop."""
    inbox = receive_input(
        input_type, timeout=0, raise_timeout_error=False, flow_run_id=run_id, **options
    )
    return [value async for value in inbox]


# --- Send and receive ------------------------------------------------------------------------


def test_send_then_receive(server: Server) -> None:
    """What is sent to a run is what the run receives."""
    run_id = uuid4()
    sent = send_input("andrew", run_id)
    assert sent.entry_id
    assert receive_input(str, flow_run_id=run_id, timeout=5).next() == "andrew"


async def test_send_then_receive_with_await(server: Server) -> None:
    """The same verbs work on an event loop, with `await`."""
    run_id = uuid4()
    sent = await send_input("andrew", run_id)
    assert sent.entry_id
    assert await receive_input(str, flow_run_id=run_id, timeout=5).next() == "andrew"
    assert await anext(receive_input(str, flow_run_id=run_id, timeout=5)) == "andrew"


async def test_receive_before_the_send(server: Server) -> None:
    """A receiver that waits gets what is sent later."""
    run_id = uuid4()
    waiter = asyncio.create_task(anext(receive_input(int, flow_run_id=run_id, timeout=None)))
    await asyncio.sleep(0)
    await send_input(7, run_id)
    assert await waiter == 7


def test_a_loop_over_the_inputs(server: Server) -> None:
    """`for` yields the inputs from the first one on, and goes on where it was left."""
    run_id = uuid4()
    for number in range(5):
        send_input(number, run_id)
    inbox = receive_input(int, flow_run_id=run_id, timeout=0)
    seen = []
    for number in inbox:
        seen.append(number)
        if number == 2:
            break
    with pytest.raises(TimeoutError):
        seen.extend(iter(inbox.next, None))
    assert seen == [0, 1, 2, 3, 4]


def test_an_entry_can_be_read_by_a_person(server: Server) -> None:
    """On the wire, an input is plain text: its key, its sender and its JSON."""
    run_id, sender = uuid4(), uuid4()
    sent = send_input({"who": "Zoë"}, run_id, sender=sender)
    with server.client() as client:
        [(entry_id, fields)] = client.xrange(key_of(run_id, "dict"))
    assert entry_id == sent.entry_id
    assert list(fields.items()) == [
        ("key", sent.key),
        ("sender", str(sender)),
        ("value", '{"who":"Zoë"}'),
    ]
    assert sent.key.startswith("dict-")
    assert UUID(sent.key.removeprefix("dict-"))


def test_an_answer(server: Server) -> None:
    """Two runs greet each other: `respond` sends to whoever sent the input."""
    asking, answering = uuid4(), uuid4()
    with bound_run(asking):
        Greeting(name="ada").send_to(answering)
    with bound_run(answering):
        greeting = Greeting.receive(timeout=5).next()
        assert greeting.name == "ada"
        greeting.respond(Answer(text="hello ada"))
    with bound_run(asking):
        answer = Answer.receive(timeout=5).next()
    assert answer.text == "hello ada"
    assert answer.metadata.sender == str(answering)
    assert answer.metadata.receiver == asking


async def test_an_answer_with_await(server: Server) -> None:
    """The same conversation on one event loop, each run a task."""
    asking, answering = uuid4(), uuid4()

    async def ask() -> str:
        async with bound_run(asking):
            await Greeting(name="ada").send_to(answering)
            return (await anext(Answer.receive(timeout=5))).text

    async def answer() -> None:
        async with bound_run(answering):
            greeting = await anext(Greeting.receive(timeout=5))
            await greeting.respond(Answer(text=f"hello {greeting.name}"))

    text, _ = await asyncio.gather(ask(), answer())
    assert text == "hello ada"


def test_metadata_says_where_an_input_comes_from(server: Server) -> None:
    """A received model has the key, the sender and the receiver of its input."""
    run_id, sender = uuid4(), uuid4()
    sent = send_input(Greeting(name="bo"), run_id, sender=sender)
    received = Greeting.receive(flow_run_id=run_id, timeout=5).next()
    assert received.metadata == RunInputMetadata(key=sent.key, sender=str(sender), receiver=run_id)
    assert received.model_dump() == {"name": "bo", "times": 1}


def test_an_input_that_was_made_here_has_no_metadata(server: Server) -> None:
    """Only a received input can be answered."""
    with pytest.raises(NobodyToAnswer, match="not received"):
        Greeting(name="bo").respond("hi")
    with pytest.raises(LookupError):
        _ = Greeting(name="bo").metadata


def test_a_built_in_type_with_metadata(server: Server) -> None:
    """`with_metadata`, a bare value comes inside a model and can be answered."""
    asking, answering = uuid4(), uuid4()
    send_input(41, answering, sender=asking)
    received = receive_input(int, flow_run_id=answering, timeout=5, with_metadata=True).next()
    assert received.value == 41
    assert received.metadata.sender == str(asking)
    received.respond(received.value + 1)
    assert receive_input(int, flow_run_id=asking, timeout=5).next() == 42


async def test_a_union_with_metadata(server: Server) -> None:
    """In a union, too, every member comes with its metadata."""
    run_id = uuid4()
    keys = [(await send_input(value, run_id)).key for value in (1, "one", Greeting(name="g"))]
    received = await all_now_async(int | str | Greeting, run_id, with_metadata=True)
    assert [each.metadata.key for each in received] == keys
    assert [received[0].value, received[1].value, received[2].name] == [1, "one", "g"]


def test_a_plain_model_is_upgraded(server: Server) -> None:
    """A `BaseModel` is received as that model and a `RunInput` in one; its instances are sent."""
    asking, answering = uuid4(), uuid4()
    send_input(Order(article="tea", amount=2), answering, sender=asking)
    order: Any = receive_input(Order, flow_run_id=answering, timeout=5).next()
    assert isinstance(order, Order)
    assert isinstance(order, RunInput)
    assert type(order).__name__ == "Order"
    assert order.model_dump() == {"article": "tea", "amount": 2}
    order.respond(order)
    back: Any = receive_input(Order, flow_run_id=asking, timeout=5).next()
    assert back.model_dump() == order.model_dump()
    assert back.metadata.sender == str(answering)


def test_send_to_and_receive_take_what_the_verbs_take(server: Server) -> None:
    """The methods of `RunInput` pass their arguments on."""
    run_id, sender = uuid4(), uuid4()
    sent = Greeting(name="cy").send_to(run_id, sender=sender, key_prefix="door", key="k-1")
    assert (sent.stream, sent.key, sent.sender) == ("door", "k-1", str(sender))
    inbox = Greeting.receive(
        timeout=0, poll_interval=1, raise_timeout_error=False, flow_run_id=run_id, key_prefix="door"
    )
    [received] = inbox
    assert received.metadata.key == "k-1"
    received.respond("back", sender="desk", key_prefix="answers")
    [answer] = all_now(str, sender, key_prefix="answers", with_metadata=True)
    assert (answer.value, answer.metadata.sender) == ("back", "desk")
    excluding = Greeting.receive(
        timeout=0,
        raise_timeout_error=False,
        exclude_keys=["k-1"],
        flow_run_id=run_id,
        key_prefix="door",
    )
    assert list(excluding) == []


# --- Names -----------------------------------------------------------------------------------


def test_a_key_prefix_names_the_stream(server: Server) -> None:
    """With `key_prefix` the two sides meet under any name, whatever the type."""
    run_id = uuid4()
    sent = send_input(3, run_id, key_prefix="a name: with spaces/ünd more")
    assert sent.key.startswith("a name: with spaces/ünd more-")
    assert all_now(int, run_id) == []
    assert all_now(int, run_id, key_prefix="a name: with spaces/ünd more") == [3]


def test_names_match_exactly(server: Server) -> None:
    """`order-1` is not `order-10`, and no pattern either."""
    run_id = uuid4()
    for name in ("order-1", "order-10", "order", "ORDER-1", "order-?", "*"):
        send_input(name, run_id, key_prefix=name)
    for name in ("order-1", "order-10", "order", "ORDER-1", "order-?", "*"):
        assert all_now(str, run_id, key_prefix=name) == [name]


def test_a_receiver_never_sees_another_type(server: Server) -> None:
    """Each type has its stream, even where one type is a subclass of another."""
    run_id = uuid4()
    values: list[Any] = [1, True, 1.0, "1", b"1", None, [1], (1,), {1}, {"1": 1}]
    for value in values:
        send_input(value, run_id)
    send_input(Greeting(name="x"), run_id)
    for value in values:
        received = all_now(type(value), run_id)
        assert [(type(each), each) for each in received] == [(type(value), value)]
    assert [each.name for each in all_now(Greeting, run_id)] == ["x"]
    assert all_now(Answer, run_id) == []


def test_a_receiver_never_sees_another_run(server: Server) -> None:
    """Runs whose ids differ in one digit have streams of their own."""
    run_id = uuid4()
    neighbour = UUID(int=run_id.int ^ (1 << 64))
    send_input("mine", run_id)
    assert all_now(str, neighbour) == []


def test_a_run_id_has_many_spellings(server: Server) -> None:
    """A run id is a UUID or its text, however it is written."""
    run_id = UUID("3fa85f64-5717-4562-b3fc-2c963f66afa6")
    spellings = [
        run_id,
        str(run_id),
        str(run_id).upper(),
        run_id.hex,
        run_id.urn,
        f"{{{run_id}}}",
    ]
    for spelling in spellings:
        assert send_input("x", spelling).flow_run_id == run_id
    for spelling in spellings:
        assert len(all_now(str, spelling)) == len(spellings)
    with bound_run(run_id.hex.upper()) as run:
        assert run.flow_run_id == run_id
        assert receive_input(str, timeout=0).next() == "x"


def test_runs_of_other_engines_have_ids_too(server: Server) -> None:
    """`flow_run_id_for` gives both ends the same UUID for an id that is none."""
    run_id = flow_run_id_for("airflow", "dag_7/run 2024-01-01")
    assert run_id == flow_run_id_for("airflow", "dag_7/run 2024-01-01")
    assert run_id.version == 5
    assert run_id != flow_run_id_for("dagster", "dag_7/run 2024-01-01")
    assert flow_run_id_for("a", "bc") != flow_run_id_for("ab", "c")
    send_input("hi", run_id)
    assert all_now(str, run_id) == ["hi"]
    with pytest.raises(ValueError, match="flow_run_id_for"):
        flow_run_id_for("airflow", "")


# --- Keys that were seen ---------------------------------------------------------------------


def exclusions(keys: list[str]) -> Iterator[tuple[str, Any]]:
    yield "list", keys
    yield "set", set(keys)
    yield "generator", (key for key in keys)
    yield "dict keys", dict.fromkeys(keys).keys()


def test_inputs_that_were_seen_are_passed_over(server: Server) -> None:
    """`exclude_keys` takes any iterable of keys."""
    run_id = uuid4()
    keys = [send_input(number, run_id).key for number in range(4)]
    for kind, excluded in exclusions(keys[:2]):
        assert all_now(int, run_id, exclude_keys=excluded) == [2, 3], kind
    assert all_now(int, run_id, exclude_keys=keys) == []
    assert all_now(int, run_id, exclude_keys=[]) == [0, 1, 2, 3]


def test_one_text_is_no_list_of_keys(server: Server) -> None:
    """A text in place of the keys is a mistake that is told."""
    with pytest.raises(ValueError, match="list or a set") as raised:
        receive_input(int, flow_run_id=uuid4(), exclude_keys="int-1")
    assert isinstance(raised.value, RunbusError)


def test_an_entry_without_a_key_is_excluded_by_its_id(server: Server) -> None:
    """The key of an entry that was added by hand is its entry id, here too."""
    run_id = uuid4()
    entry_id = add_by_hand(server, run_id, "int", {"value": "1"})
    assert all_now(int, run_id, exclude_keys=[entry_id]) == []


def test_excluded_keys_stay_here(valkey: Server) -> None:
    """However many keys are excluded, none of them travels to the server."""
    run_id = uuid4()
    seen = send_input("seen", run_id)
    send_input("new", run_id)
    excluded = [seen.key, *(f"str-{uuid4()}" for _ in range(50_000))]
    with valkey.client() as client:
        before = client.info("stats")["total_net_input_bytes"]
        assert all_now(str, run_id, exclude_keys=excluded) == ["new"]
        assert client.info("stats")["total_net_input_bytes"] - before < 20_000


def test_thousands_of_excluded_inputs_are_passed_over(valkey: Server) -> None:
    """Whole pages of seen inputs lie before the first new one."""
    run_id = uuid4()

    async def fill() -> list[str]:
        return [sent.key for sent in [send_input(number, run_id) for number in range(3000)]]

    keys = asyncio.run(fill())
    assert all_now(int, run_id, exclude_keys=set(keys[:2990])) == list(range(2990, 3000))


# --- Timeouts --------------------------------------------------------------------------------


def test_nothing_comes(server: Server) -> None:
    """When the time is over, a `TimeoutError` says who waited for what."""
    run_id = uuid4()
    started = time.monotonic()
    with pytest.raises(TimeoutError) as raised:
        receive_input(int | str, flow_run_id=run_id, timeout=0.1).next()
    assert 0.09 < time.monotonic() - started < 2
    error = raised.value
    assert isinstance(error, ReceiveTimeout)
    assert error.flow_run_id == run_id
    assert error.streams == ("int", "str")
    assert error.timeout == 0.1
    assert str(run_id) in str(error)
    assert "0.1 s" in str(error)


async def test_nothing_comes_with_await(server: Server) -> None:
    """On an event loop the time runs out in the same way, and other tasks go on meanwhile."""
    run_id = uuid4()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with pytest.raises(ReceiveTimeout):
        await receive_input(int, flow_run_id=run_id, timeout=0.1).next()
    with pytest.raises(ReceiveTimeout):
        await anext(receive_input(int, flow_run_id=run_id, timeout=0.1))
    with pytest.raises(ReceiveTimeout):
        async for _ in receive_input(int, flow_run_id=run_id, timeout=0.1):
            pass
    ticking.cancel()
    assert ticks > 3


@pytest.mark.parametrize("timeout", [0, 0.0, 1e-9, 0.001, 0.05])
def test_no_time_at_all_takes_what_is_there(valkey: Server, timeout: float) -> None:
    """However short the time, what is there is received."""
    run_id = uuid4()
    for number in range(40):
        send_input(number, run_id)
    inbox = receive_input(int, flow_run_id=run_id, timeout=timeout, raise_timeout_error=False)
    started = time.monotonic()
    assert list(inbox) == list(range(40))
    assert time.monotonic() - started < 2


def test_the_timeout_is_for_the_next_input(valkey: Server) -> None:
    """A loop may take longer than the timeout, as long as every input comes within it."""
    run_id = uuid4()
    inbox = receive_input(int, flow_run_id=run_id, timeout=1, raise_timeout_error=False)
    started = time.monotonic()
    send_input(0, run_id)
    for number in inbox:
        if time.monotonic() - started > 1.5:
            break
        time.sleep(0.2)
        send_input(number + 1, run_id)
    else:
        pytest.fail("the loop ended although the inputs came in time")
    assert number > 1


def test_the_loop_may_end_quietly(server: Server) -> None:
    """Without `raise_timeout_error` a loop just ends, while `next()` still raises."""
    run_id = uuid4()
    send_input("only", run_id)
    inbox = receive_input(str, flow_run_id=run_id, timeout=0.02, raise_timeout_error=False)
    assert list(inbox) == ["only"]
    with pytest.raises(ReceiveTimeout):
        inbox.next()
    send_input("more", run_id)
    assert list(inbox) == ["more"]


async def test_the_loop_may_end_quietly_with_await(server: Server) -> None:
    """Without `raise_timeout_error` an `async for` just ends, while `next()` still raises."""
    run_id = uuid4()
    await send_input("only", run_id)
    inbox = receive_input(str, flow_run_id=run_id, timeout=0.02, raise_timeout_error=False)
    assert [each async for each in inbox] == ["only"]
    with pytest.raises(ReceiveTimeout):
        await inbox.next()
    await send_input("more", run_id)
    assert [each async for each in inbox] == ["more"]


async def test_a_timeout_is_the_default_error(server: Server) -> None:
    """The loop that the design shows: wait a while, then do something else."""
    run_id = uuid4()
    await send_input(1, run_id)
    total, suspended = 0, False
    try:
        async for number in receive_input(int, flow_run_id=run_id, timeout=0.02):
            total += number
    except TimeoutError:
        suspended = True
    assert total == 1
    assert suspended


# --- Unions ----------------------------------------------------------------------------------


def time_of(entry_id: str | None) -> int:
    """The millisecond of an entry. In the same one, the ids of two streams have no order."""
    return int(str(entry_id).partition("-")[0])


def test_a_union_is_merged_in_order_of_time(server: Server) -> None:
    """The inputs of several types come in the order in which they were stored."""
    run_id = uuid4()
    values: list[Any] = [1, "two", 3.0, None, "five", 6, Answer(text="seven"), 8]
    for value in values:
        send_input(value, run_id)
        time.sleep(0.002)  # so that no two come in the same millisecond
    received = all_now(int | str | float | Answer | None, run_id)
    assert [each.text if isinstance(each, Answer) else each for each in received] == [
        *values[:6],
        "seven",
        8,
    ]


async def test_a_long_union_is_merged_in_order_of_time(valkey: Server) -> None:
    """The order holds over thousands of inputs and many pages, in uneven parts."""
    run_id = uuid4()
    chance = random.Random(7)
    make: list[Any] = [int, str, float, lambda number: [number]]
    sends = []
    for number in range(6000):
        value = chance.choices(make, weights=[50, 5, 1, 20])[0](number)
        sends.append(send_input(value, run_id))
        if chance.random() < 0.2:
            await sends[-1]
    await asyncio.gather(*sends)
    times = {sent.key: time_of(sent.entry_id) for sent in sends}
    received = await all_now_async(int | str | float | list[int], run_id, with_metadata=True)
    assert [times[each.metadata.key] for each in received] == sorted(times.values())


async def test_a_union_of_large_values_is_merged_in_order_of_time(valkey: Server) -> None:
    """The order holds when a page is so large that it arrives in many pieces."""
    run_id = uuid4()
    times: dict[str, int] = {}
    for number in range(40):
        text = "x" * 200_000
        sent = await send_input(text if number % 2 else [text], run_id)
        times[sent.key] = time_of(sent.entry_id)
    received = await all_now_async(str | list[str], run_id, with_metadata=True)
    order = [times[each.metadata.key] for each in received]
    assert order == sorted(order)
    assert len(order) == 40


async def test_a_live_union_is_merged_in_order_of_time(valkey: Server) -> None:
    """The order holds while the inputs are being sent, one after the other."""
    run_id = uuid4()
    count = 3000
    times: dict[str, int] = {}

    async def send_all() -> None:
        for number in range(count):
            sent = await send_input(number if number % 2 else str(number), run_id)
            times[sent.key] = time_of(sent.entry_id)

    sending = asyncio.create_task(send_all())
    inbox = receive_input(int | str, flow_run_id=run_id, timeout=10, with_metadata=True)
    received = [(await anext(inbox)).metadata.key for _ in range(count)]
    await sending
    order = [times[key] for key in received]
    assert order == sorted(order)
    assert len({*received}) == count


def test_a_live_union_in_a_thread_is_merged_in_order_of_time(valkey: Server) -> None:
    """The order holds in a thread too, while another process or thread sends."""
    run_id = uuid4()
    count = 2000
    times: dict[str, int] = {}

    async def send_all() -> None:
        for number in range(count):
            sent = await send_input(number if number % 2 else str(number), run_id)
            times[sent.key] = time_of(sent.entry_id)

    sending = threading.Thread(target=asyncio.run, args=(send_all(),))
    sending.start()
    inbox = receive_input(int | str, flow_run_id=run_id, timeout=10, with_metadata=True)
    received = [inbox.next().metadata.key for _ in range(count)]
    sending.join()
    order = [times[key] for key in received]
    assert order == sorted(order)
    assert len({*received}) == count


# --- What does not fit -----------------------------------------------------------------------


def test_an_input_that_does_not_fit_is_raised_once(server: Server) -> None:
    """`ValidationError` says which input it is, and the next call moves on past it."""
    run_id = uuid4()
    send_input([1], run_id)
    bad = send_input(["x"], run_id)
    send_input([3], run_id)
    inbox = receive_input(list[int], flow_run_id=run_id, timeout=0)
    assert inbox.next() == [1]
    with pytest.raises(ValidationError) as raised:
        inbox.next()
    assert bad.key in "".join(raised.value.__notes__)
    assert str(bad.entry_id) in "".join(raised.value.__notes__)
    assert inbox.next() == [3]
    with pytest.raises(ReceiveTimeout):
        inbox.next()


async def test_a_model_that_does_not_fit_is_raised_once(server: Server) -> None:
    """The same with models, in an `async for` that goes on after the error."""
    run_id = uuid4()
    await send_input({"name": "a"}, run_id, key_prefix="Greeting")
    await send_input({"name": 5}, run_id, key_prefix="Greeting")
    await send_input({"name": "c"}, run_id, key_prefix="Greeting")
    inbox = Greeting.receive(flow_run_id=run_id, timeout=0, raise_timeout_error=False)
    names, errors = "", 0
    while True:
        try:
            async for greeting in inbox:
                names += greeting.name
        except ValidationError:
            errors += 1
            continue
        break
    assert names == "ac"
    assert errors == 1


def test_an_entry_that_was_added_by_hand(server: Server) -> None:
    """A value is all that an entry needs; its id is its key, and nobody can be answered."""
    run_id = uuid4()
    entry_id = add_by_hand(server, run_id, "str", {"value": '"hi"'})
    assert all_now(str, run_id) == ["hi"]
    [received] = all_now(str, run_id, with_metadata=True)
    assert received.metadata == RunInputMetadata(key=entry_id, sender=None, receiver=run_id)
    with pytest.raises(NobodyToAnswer, match="does not say who sent it") as raised:
        received.respond("hello?")
    assert isinstance(raised.value, RunbusError)
    assert isinstance(raised.value, LookupError)


def test_an_entry_by_hand_may_have_fields_in_any_order(server: Server) -> None:
    """Fields are found by name, and those that runbus does not know do no harm."""
    run_id, sender = uuid4(), uuid4()
    fields = {"note": "by hand", "value": '{"name": "h"}', "sender": str(sender), "key": "k"}
    add_by_hand(server, run_id, "Greeting", fields)
    received = Greeting.receive(flow_run_id=run_id, timeout=0).next()
    assert received.metadata == RunInputMetadata(key="k", sender=str(sender), receiver=run_id)
    received.respond(Answer(text="back"))
    assert [each.text for each in all_now(Answer, sender)] == ["back"]


def test_an_input_from_nobody(server: Server) -> None:
    """Code outside a run has no id to answer to."""
    run_id = uuid4()
    assert send_input(Greeting(name="n"), run_id, sender=None).sender is None
    received = Greeting.receive(flow_run_id=run_id, timeout=0).next()
    assert received.metadata.sender is None
    with pytest.raises(NobodyToAnswer):
        received.respond("hello?")


def test_a_sender_that_is_no_run_cannot_be_answered(server: Server) -> None:
    """A sender may be any text, but only a run can be answered."""
    run_id = uuid4()
    Greeting(name="n").send_to(run_id, sender="the night shift")
    received = Greeting.receive(flow_run_id=run_id, timeout=0).next()
    assert received.metadata.sender == "the night shift"
    with pytest.raises(NobodyToAnswer, match="the night shift"):
        received.respond("hello?")


def asked_by_a_run_that_has_ended() -> Greeting:
    """Return an input whose sender is no more."""
    receiver = uuid4()
    flow(lambda: Greeting(name="n").send_to(receiver), name="asks")()
    return Greeting.receive(flow_run_id=receiver, timeout=0).next()


def test_a_response_to_a_run_that_has_ended(
    valkey: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is raised, whoever answers many goes on; one line is logged, the receipt says so."""
    received = asked_by_a_run_that_has_ended()
    sent = received.respond("too late")
    assert (sent.refused, sent.settled, sent.entry_id) == (True, True, None)
    assert sent.result() is sent
    assert "refused" in repr(sent)
    (line,) = dropped_responses(caplog)
    assert "is COMPLETED" in line
    with pytest.raises(RunFinished):  # what is sent on one's own account is another matter
        send_input("too late", received.metadata.sender or "")
    assert not send_input("in time", uuid4()).refused


def dropped_responses(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines about them; a run of an earlier test may have something to say, too."""
    return [each for each in caplog.messages if each.startswith("a response was dropped")]


async def test_a_response_on_a_loop_to_a_run_that_has_ended(
    valkey: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is it at the next verb or at the end of the run, awaited or not."""
    received = await asyncio.to_thread(asked_by_a_run_that_has_ended)
    async with bound_run(uuid4()) as run:
        sent = received.respond("too late")
        assert (await received.respond("awaited")).refused
        await send_input("goes on", run.flow_run_id)
    assert sent.refused
    assert len(dropped_responses(caplog)) == 2


@pytest.mark.parametrize("timeout", [3600, None])
def test_a_receiver_with_a_deadline(valkey: Server, timeout: float | None) -> None:
    """It takes what came until then, however long each was waited for, and ends."""
    run_id = uuid4()
    send_input("before", run_id)
    deadline = datetime.now(UTC) + timedelta(seconds=1)
    inbox = receive_input(str, flow_run_id=run_id, timeout=timeout, deadline=deadline)
    assert inbox.next() == "before"
    with pytest.raises(ReceiveTimeout, match="until"):
        inbox.next()
    early = timedelta(milliseconds=2)  # as exact as a loop's clock is
    assert deadline - early <= datetime.now(UTC) < deadline + timedelta(seconds=5)
    time.sleep(0.05)  # an entry of the deadline's own millisecond is in time
    send_input("after", run_id)
    with pytest.raises(ReceiveTimeout):
        inbox.next()
    again = receive_input(str, flow_run_id=run_id, deadline=deadline, raise_timeout_error=False)
    assert list(again) == ["before"]  # a flow that runs again sees the same
    assert all_now(str, run_id) == ["before", "after"]


async def test_a_deadline_ends_no_wait_that_is_shorter(valkey: Server) -> None:
    """The wait for each stands beside it; on a loop, and in any zone of time."""
    run_id, zone = uuid4(), timezone(timedelta(hours=-7))
    late = datetime.now(zone) + timedelta(hours=1)
    with pytest.raises(ReceiveTimeout, match=r"within 0\.05 s"):
        await anext(receive_input(str, flow_run_id=run_id, timeout=0.05, deadline=late))
    soon = datetime.now(zone) + timedelta(seconds=0.2)
    greetings = Greeting.receive(flow_run_id=run_id, deadline=soon, raise_timeout_error=False)
    assert [each async for each in greetings] == []
    assert datetime.now(UTC) >= soon - timedelta(milliseconds=2)  # as exact as uvloop's clock is


@pytest.mark.parametrize("deadline", [datetime(2030, 1, 1), 1795775469.5, "tomorrow", timedelta(1)])
def test_a_deadline_that_is_no_moment(deadline: Any) -> None:
    """What depends on where it is read is refused, with words."""
    with pytest.raises(InvalidArgument, match=r"deadline=.*aware datetime"):
        receive_input(str, flow_run_id=uuid4(), deadline=deadline)


FOREIGN = {
    "no value": {"key": "k", "sender": "s"},
    "broken JSON": {"value": "{not json"},
    "empty value": {"value": ""},
    "invalid UTF-8": {"value": b'"\xff\xfe"'},
    "two values": {"value": "1 2"},
}


@pytest.mark.parametrize("kind", [*FOREIGN])
def test_a_foreign_entry_is_raised_once(server: Server, kind: str) -> None:
    """What is not an input is named by stream and entry id, and passed over."""
    run_id = uuid4()
    send_input(1, run_id)
    entry_id = add_by_hand(server, run_id, "int", FOREIGN[kind])
    send_input(3, run_id)
    inbox = receive_input(int, flow_run_id=run_id, timeout=0)
    assert inbox.next() == 1
    with pytest.raises(MalformedEntry) as raised:
        inbox.next()
    error = raised.value
    assert isinstance(error, RunbusError)
    assert isinstance(error, ValueError)
    assert (error.stream, error.entry_id) == (key_of(run_id, "int"), entry_id)
    assert error.stream in str(error)
    assert error.entry_id in str(error)
    assert "XDEL" in str(error)
    assert inbox.next() == 3


@pytest.mark.parametrize("kind", [*FOREIGN])
async def test_a_foreign_model_is_raised_once(valkey: Server, kind: str) -> None:
    """The same for a model, and on an event loop."""
    run_id = uuid4()
    entry_id = add_by_hand(valkey, run_id, "Greeting", FOREIGN[kind])
    await send_input(Greeting(name="after"), run_id)
    inbox = Greeting.receive(flow_run_id=run_id, timeout=0)
    with pytest.raises(MalformedEntry) as raised:
        await anext(inbox)
    assert raised.value.entry_id == entry_id
    assert (await anext(inbox)).name == "after"


def test_texts_that_are_not_utf_8_are_replaced(server: Server) -> None:
    """A key or sender in a wrong encoding does not keep the value from its receiver."""
    run_id = uuid4()
    add_by_hand(server, run_id, "int", {"key": b"k\xff", "sender": b"\xfe", "value": "5"})
    [received] = all_now(int, run_id, with_metadata=True)
    assert received.value == 5
    assert received.metadata.key == "k�"


def test_a_hand_made_stream_ends_with_its_run(server: Server) -> None:
    """The first receive registers a stream that somebody made by hand, so it gets a lifetime."""
    run_id = uuid4()
    with server.client() as client:
        client.xadd(key_of(run_id, "str"), {"value": '"hi"'})
        assert all_now(str, run_id) == ["hi"]
        deadline = time.monotonic() + 5
        while client.ttl(key_of(run_id, "str")) < 0 and time.monotonic() < deadline:
            time.sleep(0.005)  # the read mark is a hint that nobody waits for
        assert client.ttl(key_of(run_id, "str")) > 0


# --- Nothing is lost -------------------------------------------------------------------------


async def test_a_cancelled_next_loses_nothing(valkey: Server) -> None:
    """A receiver that is cancelled hundreds of times gets every input once, in order."""
    run_id = uuid4()
    count = 2500
    chance = random.Random(3)

    async def send_all() -> None:
        for number in range(count):
            sent = send_input(number, run_id)
            if chance.random() < 0.5:
                await sent

    inbox = receive_input(int, flow_run_id=run_id, timeout=None)
    received: list[int] = []

    async def receive_some() -> None:
        left = chance.randrange(1, 20)
        while left:
            received.append(await anext(inbox))
            left -= 1

    sending = asyncio.create_task(send_all())
    cancelled = 0
    while len(received) < count:
        receiving = asyncio.create_task(receive_some())
        for _ in range(chance.randrange(8)):
            await asyncio.sleep(0)
        cancelled += receiving.cancel()
        with suppress(asyncio.CancelledError):
            await receiving
    await sending
    assert received == list(range(count))
    assert cancelled > 300


async def test_an_outer_timeout_loses_nothing(valkey: Server) -> None:
    """`asyncio.timeout` around a receive, again and again, loses nothing either."""
    run_id = uuid4()
    count = 300
    chance = random.Random(4)

    async def send_all() -> None:
        for number in range(count):
            await asyncio.sleep(chance.random() * 0.002)
            send_input(number, run_id)

    inbox = receive_input(int, flow_run_id=run_id, timeout=None)
    received: list[int] = []
    timeouts = 0
    sending = asyncio.create_task(send_all())
    while len(received) < count:
        try:
            async with asyncio.timeout(chance.random() * 0.002):
                received.append(await anext(inbox))
        except TimeoutError:
            timeouts += 1
    await sending
    assert received == list(range(count))
    assert timeouts > 20


async def test_two_receivers_each_see_all(server: Server) -> None:
    """Receiving takes nothing away: every receiver gets every input."""
    run_id = uuid4()
    inboxes = [receive_input(int, flow_run_id=run_id, timeout=5) for _ in range(3)]

    async def receive(inbox: Any) -> list[int]:
        return [await anext(inbox) for _ in range(200)]

    receiving = [asyncio.create_task(receive(inbox)) for inbox in inboxes]
    for number in range(200):
        send_input(number, run_id)
    for task in receiving:
        assert await task == list(range(200))


async def test_an_inbox_that_is_dropped_is_forgotten(valkey: Server) -> None:
    """Its event loop keeps nothing of who receives no more."""
    run_id = uuid4()
    options: Any = {"flow_run_id": run_id, "timeout": 0, "raise_timeout_error": False}
    for _ in range(3):
        assert [each async for each in receive_input(int, **options)] == []
    gc.collect()
    await asyncio.sleep(0)
    assert current_bus().trackings.of(key_of(run_id, "int")).listeners() == []


async def test_two_tasks_share_one_inbox(valkey: Server) -> None:
    """Tasks that take from one inbox share its inputs: each goes to one of them."""
    run_id = uuid4()
    count = 1000
    inbox = receive_input(int, flow_run_id=run_id, timeout=None)
    received: list[int] = []

    async def work() -> None:
        while True:
            received.append(await anext(inbox))
            if len(received) == count:
                done.set()

    done = asyncio.Event()
    workers = [asyncio.create_task(work()) for _ in range(3)]
    for number in range(count):
        sent = send_input(number, run_id)
        if number % 10 == 0:
            await sent
    await asyncio.wait_for(done.wait(), 10)
    for worker in workers:
        worker.cancel()
    assert sorted(received) == list(range(count))


async def test_two_waiting_nexts_get_one_input_each(server: Server) -> None:
    """Two calls that wait on one inbox at the same time get different inputs."""
    run_id = uuid4()
    inbox = receive_input(int, flow_run_id=run_id, timeout=5)
    waiting = [asyncio.ensure_future(inbox.next()) for _ in range(2)]
    await asyncio.sleep(0.01)
    await send_input(1, run_id)
    done, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in done] == [1]
    await send_input(2, run_id)
    assert await left.pop() == 2


async def test_a_cancelled_await_takes_nothing_back(server: Server) -> None:
    """Whoever stops waiting for a send has sent it all the same."""
    run_id = uuid4()

    async def send() -> None:
        await send_input("anyway", run_id)

    sending = asyncio.create_task(send())
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert await receive_input(str, flow_run_id=run_id, timeout=5).next() == "anyway"


async def test_a_receipt_may_be_awaited_by_many(server: Server) -> None:
    """A receipt can be awaited again, by several tasks, and after it is stored."""
    sent = send_input(1, uuid4())
    assert not sent.settled
    results = await asyncio.gather(sent, sent.settlement(), sent)
    assert results[0] is sent
    assert (await sent).entry_id == (await sent).entry_id
    assert "stored as" in repr(sent)


async def test_sends_that_nobody_awaits_keep_their_order(server: Server) -> None:
    """The order on a stream is the order of the calls, awaited or not."""
    run_id = uuid4()
    for number in range(3000):
        sent = send_input(number, run_id)
        if number % 700 == 0:
            await asyncio.sleep(0)
        if number % 1000 == 999:
            await sent
    assert await all_now_async(int, run_id) == list(range(3000))


async def test_sends_of_all_kinds_keep_their_order(server: Server) -> None:
    """With and without a key, with and without a sender: the order is still that of the calls."""
    run_id = uuid4()
    for number in range(600):
        sent = send_input(
            number,
            run_id,
            sender=None if number % 3 else "s",
            key=f"k{number}" if number % 2 else None,
        )
    await sent
    assert await all_now_async(int, run_id) == list(range(600))


async def test_order_with_large_and_small_values(valkey: Server) -> None:
    """Large values do not let small ones overtake them."""
    run_id = uuid4()
    sizes = [1, 300_000, 5, 200_000, 90_000, 90_000, 90_000, 2, MEBIBYTE - 2, 0, 1]
    for size in sizes:
        sent = send_input("x" * size, run_id)
    await sent
    assert [len(each) for each in await all_now_async(str, run_id)] == sizes


# --- The caller's own key --------------------------------------------------------------------


def test_a_key_makes_a_send_idempotent(server: Server) -> None:
    """A second send under the same key stores nothing and says where the first one is."""
    run_id = uuid4()
    first = send_input("a", run_id, key="order-1")
    second = send_input("a", run_id, key="order-1")
    assert (first.duplicate, second.duplicate) == (False, True)
    assert first.entry_id == second.entry_id
    assert all_now(str, run_id) == ["a"]
    other_run = send_input("a", uuid4(), key="order-1")
    assert not other_run.duplicate


async def test_a_key_makes_sends_in_flight_idempotent(server: Server) -> None:
    """The same holds for sends that are under way together."""
    run_id = uuid4()
    sends = await asyncio.gather(*[send_input("a", run_id, key="one") for _ in range(20)])
    assert [sent.duplicate for sent in sends] == [False] + [True] * 19
    assert len({sent.entry_id for sent in sends}) == 1
    assert await all_now_async(str, run_id) == ["a"]


def test_a_key_is_one_among_two_processes(server: Server) -> None:
    """Two processes that send under one key at the same time store one input."""
    run_id = uuid4()
    script = (
        "from runbus import send_input\n"
        "for number in range(200):\n"
        f"    sent = send_input(number, '{run_id}', key=f'k-{{number}}')\n"
        "    print(sent.entry_id, int(sent.duplicate))\n"
    )
    env = {**os.environ, "RUNBUS_URL": server.url}
    processes = [
        subprocess.Popen([sys.executable, "-c", script], env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=30)[0].split("\n")[:-1] for process in processes]
    one, other = ([line.split() for line in output] for output in outputs)
    assert len(one) == len(other) == 200
    assert [entry_id for entry_id, _ in one] == [entry_id for entry_id, _ in other]
    assert [int(a) + int(b) for (_, a), (_, b) in zip(one, other, strict=True)] == [1] * 200
    assert all_now(int, run_id) == list(range(200))


def test_a_key_names_one_input_of_a_run(server: Server) -> None:
    """The same key on another type is an error that says what the key names."""
    run_id = uuid4()
    first = send_input("a", run_id, key="order-1")
    with pytest.raises(KeyInUse) as raised:
        send_input(1, run_id, key="order-1")
    error = raised.value
    assert isinstance(error, RunbusError)
    assert (error.flow_run_id, error.key, error.stored_as) == (run_id, "order-1", "str")
    assert "str" in str(error)
    assert "choose another" in str(error)
    assert all_now(int, run_id) == []
    assert send_input("a", run_id, key="order-1").entry_id == first.entry_id


def test_a_made_up_key_sent_again_is_the_same_input(server: Server) -> None:
    """A run stores one input under a key, also when the first send did not choose it."""
    run_id = uuid4()
    first = send_input("a", run_id)
    again = send_input("a", run_id, key=first.key)
    assert again.entry_id == first.entry_id
    assert again.duplicate
    assert all_now(str, run_id) == ["a"]


# --- Sizes -----------------------------------------------------------------------------------


def test_large_values(server: Server) -> None:
    """Values of almost a mebibyte come back whole."""
    run_id = uuid4()
    text = "".join(random.Random(1).choices('abcdefgh\n"\\é漢', k=200_000))
    for value in ("x" * (MEBIBYTE - 2), text, "y" * (MEBIBYTE - 3)):
        send_input(value, run_id)
    received = all_now(str, run_id)
    assert [len(each) for each in received] == [MEBIBYTE - 2, 200_000, MEBIBYTE - 3]
    assert received[1] == text
    blob = random.Random(2).randbytes(700_000)
    send_input(blob, run_id)
    assert all_now(bytes, run_id) == [blob]


async def test_many_large_values(valkey: Server) -> None:
    """More than fits in one page or one batch, on an event loop."""
    run_id = uuid4()
    for number in range(24):
        await send_input({"n": number, "text": "z" * 900_000}, run_id)
    received = await all_now_async(dict[str, Any], run_id)
    assert [each["n"] for each in received] == list(range(24))
    assert {len(each["text"]) for each in received} == {900_000}


@pytest.mark.parametrize("value", ["", b"", [], {}, (), set(), None, False, 0])
def test_empty_values(server: Server, value: Any) -> None:
    """What is empty is a value like any other."""
    run_id = uuid4()
    send_input(value, run_id)
    [received] = all_now(type(value), run_id)
    assert received == value
    assert type(received) is type(value)
