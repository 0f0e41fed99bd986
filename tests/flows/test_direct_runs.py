"""Flows that are called directly, and the pauses in them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator  # noqa: TC003  (flows read annotations)
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from runbus import (
    RunInput,
    cancel_flow_run,
    flow,
    get_client,
    get_run_context,
    get_run_logger,
    pause_flow_run,
    receive_input,
    resume_flow_run,
    send_input,
    serve,
    wait_for_flow_run,
)
from runbus.background.bridge import run as block
from runbus.errors import (
    AlreadyAnswered,
    AlreadyEnded,
    AnswerRefused,
    CannotPause,
    FlowPauseTimeout,
    FlowRunCancelled,
    FlowTimeout,
    InvalidArgument,
    MissingAwait,
    NoCurrentRun,
    NotPaused,
    RunMissing,
    RunNotEnded,
)
from runbus.protocol.keys import Keys

if TYPE_CHECKING:
    from servers import Server


class Person(RunInput):
    """Who somebody is."""

    name: str = Field(min_length=2, description="as in the passport")
    age: int = 30

    @field_validator("name")
    @classmethod
    def nobody(cls, name: str) -> str:
        if name == "nobody":
            raise ValueError("somebody, please")
        return name


class Plain(BaseModel):
    number: int


class Clerk:
    """Answers a run's pauses one after the other, each as soon as the run asks."""

    def __init__(self, *answers: dict[str, Any] | None) -> None:
        self.run_id: UUID | None = None
        self._answers = answers
        self._known = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def know(self) -> UUID:
        """Tell the clerk, inside the run, which one it is."""
        self.run_id = get_run_context().run_id
        self._known.set()
        return self.run_id

    def _work(self) -> None:
        assert self._known.wait(20)
        assert self.run_id is not None
        for answer in self._answers:
            asyncio.run(self._answer(self.run_id, answer))

    async def _answer(self, run_id: UUID, answer: dict[str, Any] | None) -> None:
        await asked(run_id)
        await resume_flow_run(run_id, answer, by="the clerk")

    def done(self) -> None:
        self._thread.join(20)


async def asked(run_id: UUID) -> Any:
    """Wait until a run asks for something."""
    async with asyncio.timeout(20):
        while (pause := await get_client().read_pause(run_id)) is None:
            await asyncio.sleep(0.005)
    return pause


def state_of(run_id: UUID) -> Any:
    return block(lambda: get_client().read_flow_run(run_id)).state


# --- Calls -----------------------------------------------------------------------------------


def test_a_sync_flow_returns_its_value(server: Server) -> None:
    """A call validates its parameters, and is recorded with what it returned."""
    seen: list[UUID] = []

    @flow
    def add(one: int, other: int = 1) -> int:
        seen.append(get_run_context().run_id)
        return one + other

    assert add("2") == 3  # pyright: ignore[reportArgumentType]
    run = wait_for_flow_run(seen[0])
    assert (run.flow_name, run.state.name, run.parameters) == (
        *("add", "Completed"),
        {"one": 2, "other": 1},
    )
    assert run.state.result() == 3
    assert run.created <= run.start_time <= run.end_time


async def test_an_async_flow_and_its_child(server: Server) -> None:
    """A flow called in a flow is its child; both kinds of flow may call each other."""

    @flow
    def child() -> UUID:
        return get_run_context().run_id

    @flow(name="the-parent", flow_run_name="run-of-{what}")
    async def parent(what: str) -> tuple[UUID, UUID]:
        return get_run_context().run_id, child()

    parent_id, child_id = await parent("tea")
    client = get_client()
    assert (await client.read_flow_run(child_id)).parent_run_id == parent_id
    assert (await client.read_flow_run(parent_id)).name == "run-of-tea"
    assert [run.id for run in await client.read_flow_runs()] == [child_id, parent_id]
    assert [run.id for run in await client.read_flow_runs(offset=1, limit=1)] == [parent_id]


def test_wrong_arguments_make_no_run(valkey: Server) -> None:
    """A call that does not fit raises before anything is recorded."""

    @flow
    def add(one: int) -> int:
        return one

    with pytest.raises(ValidationError):
        add("many")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError):
        add()  # pyright: ignore[reportCallIssue]
    assert block(lambda: get_client().read_flow_runs()) == []


def test_parameters_of_any_bytes(valkey: Server) -> None:
    """Bytes that are no text are recorded as the rest of runbus writes them."""

    @flow
    def first_byte(data: bytes) -> tuple[int, object]:
        return data[0], get_run_context().flow_run.parameters

    assert first_byte(b"\xff\xfe") == (255, {"data": "__4="})


def test_parameters_without_annotations(valkey: Server) -> None:
    """They are taken as they come, beside those that are coerced."""

    @flow
    def take(one, *rest, other: int = 1, **more):  # type: ignore[no-untyped-def]
        return one, rest, other, more

    assert take("1", 2, other="3", more=4) == ("1", (2,), 3, {"more": 4})


def test_retries(valkey: Server) -> None:
    """A flow that fails is called again; only the last failure is raised."""
    calls: list[UUID] = []

    @flow(retries=2)
    def stubborn(times: int) -> int:
        calls.append(get_run_context().run_id)
        if len(calls) < times:
            raise ValueError("not yet")
        return len(calls)

    assert stubborn(3) == 3
    assert len(set(calls)) == 1
    calls.clear()
    with pytest.raises(ValueError, match="not yet"):
        stubborn(9)
    assert (len(calls), state_of(calls[0]).message) == (3, "ValueError: not yet")


async def test_a_timeout(valkey: Server) -> None:
    """A flow that takes too long fails: where it awaits, or at its next verb."""

    @flow(timeout_seconds=0.1)
    async def slow() -> None:
        await asyncio.Event().wait()

    @flow(timeout_seconds=0.1)
    def slow_sync() -> None:
        pause_flow_run(timeout=20)

    for each in (slow, lambda: asyncio.to_thread(slow_sync)):
        with pytest.raises(FlowTimeout):
            await each()
    states = {run.state.name for run in await get_client().read_flow_runs()}
    assert states == {"Failed"}


def test_what_can_be_read_only_once_is_left_to_the_flow(server: Server) -> None:
    """The record of a run reads no iterator, nor what its caller is given."""

    @flow
    def numbers(given: Iterable[int]) -> Any:
        return (each + 1 for each in given)

    assert list(numbers([1, 2, 3])) == [2, 3, 4]

    @flow
    def endless(given: Any) -> Any:
        return next(given)

    assert endless(count(7)) == 7
    loop: list[Any] = []
    loop.append(loop)
    assert flow(len)(loop) == 1
    with pytest.raises(InvalidArgument, match="does not yield"):

        @flow
        def numbers_one_by_one() -> Iterator[int]:
            yield 1


async def test_a_method(server: Server) -> None:
    """It is called with its instance, which is no parameter."""

    class Shop:
        town = "Oslo"

        @flow
        def sell(self, item: str) -> str:
            return f"{item} in {self.town}"

        @flow
        async def buy(self, item: str) -> dict[str, Any]:
            return get_run_context().parameters | {"town": self.town}

    assert Shop().sell("tea") == "tea in Oslo"
    assert await Shop().buy("tea") == {"item": "tea", "town": "Oslo"}


def test_outside_of_a_flow(valkey: Server) -> None:
    """What needs a flow says so."""
    for verb in (get_run_context, get_run_logger, pause_flow_run):
        with pytest.raises(NoCurrentRun):
            verb()
    with pytest.raises(RunMissing):
        wait_for_flow_run(uuid4())


def test_log_lines_carry_the_runs_name(valkey: Server, caplog: pytest.LogCaptureFixture) -> None:
    """The logger of a run is the standard library's, with a name before each line."""

    @flow(flow_run_name="100%-tea")
    def talk() -> None:
        get_run_logger().warning("%d leaves", 3)

    talk()
    assert "100-tea: 3 leaves" in caplog.messages


def test_log_lines_are_on_the_runs_log_stream(server: Server) -> None:
    """Whoever waited for the run's end finds all of its lines there, in order."""
    ids: list[UUID] = []

    @flow
    def talk() -> None:
        ids.append(get_run_context().run_id)
        for number in range(3):
            get_run_logger().warning("line %d", number)

    talk()
    with server.client() as client:
        entries = client.xrange(Keys("runbus").log(ids[0]))
    assert [fields["message"] for _, fields in entries] == [f"line {number}" for number in range(3)]
    assert {fields["level"] for _, fields in entries} == {"WARNING"}


def test_everything_of_an_ended_run_has_a_lifetime(server: Server) -> None:
    """Inputs, pauses and the run itself: the fixture looks when the test ends."""
    clerk = Clerk({"value": 1})

    @flow
    def busy() -> None:
        run_id = clerk.know()
        send_input("to myself", run_id)
        assert receive_input(str).next() == "to myself"
        pause_flow_run(int)

    busy()
    clerk.done()
    with server.client() as client:
        key = Keys("runbus").run(clerk.run_id or uuid4())
        assert client.pttl(key) > 0


# --- Pauses ----------------------------------------------------------------------------------

ANSWERS: list[tuple[Any, dict[str, Any] | None, Any]] = [
    (None, None, None),
    (bool, {"value": False}, False),
    (list[int], {"value": [1, 2]}, [1, 2]),
    (Plain, {"number": 7}, 7),
    (Person, {"name": "ada"}, ("ada", 30)),
    (Person.with_initial_data(description="**Who?**", age=7), {"name": "ada"}, ("ada", 7)),
]


def plain(answer: Any) -> Any:
    if isinstance(answer, Person):
        return answer.name, answer.age
    return answer.number if isinstance(answer, Plain) else answer


@pytest.mark.parametrize(("asked_for", "answer", "expected"), ANSWERS)
def test_sync_and_async_pauses_give_the_same(
    server: Server, asked_for: Any, answer: Any, expected: Any
) -> None:
    """Whatever is asked for comes as its type, with the form's defaults."""
    clerks = Clerk(answer), Clerk(answer)

    @flow
    def ask() -> Any:
        clerks[0].know()
        return plain(pause_flow_run(asked_for, timeout=20))

    @flow
    async def ask_async() -> Any:
        clerks[1].know()
        return plain(await pause_flow_run(asked_for, timeout=20))

    assert ask() == expected
    assert asyncio.run(ask_async()) == expected
    for clerk in clerks:
        clerk.done()


async def test_an_answer_that_does_not_fit_changes_nothing(server: Server) -> None:
    """It is refused field by field, and the run stays paused until one fits."""

    @flow
    async def ask() -> Any:
        ids.append(get_run_context().run_id)
        return await pause_flow_run(Person.with_initial_data(description="**Who?**"))

    ids: list[UUID] = []
    asking = asyncio.create_task(ask())
    while not ids:
        await asyncio.sleep(0.001)
    pause = await asked(ids[0])
    assert pause.description == "**Who?**"
    assert pause.schema["properties"]["name"]["description"] == "as in the passport"
    with pytest.raises(AnswerRefused) as refused:
        await resume_flow_run(ids[0], {"name": "x", "age": "old"})
    assert refused.value.problems.keys() == {"name", "age"}
    with pytest.raises(AnswerRefused, match="name: it is required"):
        await resume_flow_run(ids[0])
    assert (await get_client().read_flow_run(ids[0])).state.is_paused()
    await resume_flow_run(ids[0], {"name": "ada"})
    assert (await asking).age == 30
    with pytest.raises(NotPaused):
        await resume_flow_run(ids[0], {"name": "eve"})


def test_a_validator_refuses_and_the_flow_asks_anew(server: Server) -> None:
    """The custom validators run in the flow, in a loop, in sync and in async code."""
    answers = ({"name": "nobody"}, {"name": "nobody"}, {"name": "ada"})
    clerks = Clerk(*answers), Clerk(*answers)
    refused: list[str] = []

    @flow
    def ask() -> str:
        clerks[0].know()
        while True:
            try:
                return pause_flow_run(Person, timeout=20).name
            except ValidationError as error:
                refused.append(error.errors()[0]["msg"])

    @flow
    async def ask_async() -> str:
        clerks[1].know()
        while True:
            try:
                return (await pause_flow_run(Person, timeout=20)).name
            except ValidationError as error:
                refused.append(error.errors()[0]["msg"])

    assert ask() == asyncio.run(ask_async()) == "ada"
    assert refused == ["Value error, somebody, please"] * 4
    for clerk in clerks:
        clerk.done()


def test_a_retry_does_not_ask_again(server: Server) -> None:
    """Answers are recorded: the second call of the flow gets them at once."""
    clerk = Clerk({"value": 1}, {"value": 2})
    calls: list[int] = []

    @flow(retries=1)
    def ask() -> list[int]:
        clerk.know()
        answers = [pause_flow_run(int, timeout=20), pause_flow_run(int, timeout=20, key="second")]
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("after the answers")
        return answers

    assert ask() == [1, 2]
    clerk.done()


def test_nobody_answers(server: Server) -> None:
    """The deadline raises in the flow, and a later answer finds nothing to answer."""
    ids: list[UUID] = []

    @flow
    def ask() -> None:
        ids.append(get_run_context().run_id)
        with pytest.raises(FlowPauseTimeout):
            pause_flow_run(int, timeout=0.05)
        with pytest.raises(NotPaused):
            resume_flow_run(ids[0], {"value": 1})

    ask()


async def test_a_form_that_is_no_json_schema(valkey: Server) -> None:
    """It is refused where it is asked, since no answer could be judged by it."""

    class Odd(BaseModel):
        number: int = Field(json_schema_extra={"pattern": "("})

    @flow
    async def ask() -> None:
        await pause_flow_run(Odd)

    with pytest.raises(InvalidArgument, match="JSON Schema cannot be used"):
        await ask()


async def test_two_answers_at_once(server: Server) -> None:
    """One wins; the others learn that somebody was first."""
    ids: list[UUID] = []

    @flow
    async def ask() -> int:
        ids.append(get_run_context().run_id)
        return await pause_flow_run(int, timeout=20)

    asking = asyncio.create_task(ask())
    while not ids:
        await asyncio.sleep(0.001)
    await asked(ids[0])
    answers = [resume_flow_run(ids[0], {"value": each}, by=f"p{each}") for each in range(10)]
    outcomes = await asyncio.gather(*answers, return_exceptions=True)
    winners = [number for number, outcome in enumerate(outcomes) if outcome is None]
    assert winners == [await asking]
    losers = [outcome for outcome in outcomes if outcome is not None]
    assert all(isinstance(each, (AlreadyAnswered, NotPaused)) for each in losers)
    told = [each for each in losers if isinstance(each, AlreadyAnswered)]
    assert told
    assert all(each.by == f"p{winners[0]}" and each.when for each in told)
    assert {each.value for each in told} == {b'{"value":%d}' % winners[0]}


async def test_two_pauses_at_once(valkey: Server) -> None:
    """A run waits in one pause at a time."""

    @flow
    async def ask() -> int:
        run_id = get_run_context().run_id
        one = asyncio.create_task(pause_flow_run(int, timeout=20, key="one"))
        await asked(run_id)
        with pytest.raises(CannotPause, match="'one'"):
            await pause_flow_run(int, key="two")
        await resume_flow_run(run_id, {"value": 1})
        return await one

    assert await ask() == 1


async def test_two_pauses_begun_at_once_on_two_loops(valkey: Server) -> None:
    """Whichever is first waits for its answer, undisturbed by the one that is refused."""

    @flow
    async def ask_twice() -> list[object]:
        asking = {
            "here": asyncio.create_task(pause_flow_run(int, timeout=20, key="here")),
            "there": asyncio.create_task(asyncio.to_thread(ask_there)),
        }
        (refused,), (waiting,) = await asyncio.wait(
            asking.values(), timeout=20, return_when=asyncio.FIRST_COMPLETED
        )
        (other,) = (key for key, task in asking.items() if task is waiting)
        await resume_flow_run(get_run_context().run_id, {"value": 7}, key=other)
        return [await waiting, refused.exception()]

    def ask_there() -> int:
        return pause_flow_run(int, timeout=20, key="there")

    for _ in range(50):
        answer, refusal = await ask_twice()
        assert answer == 7
        assert isinstance(refusal, CannotPause)


@pytest.mark.parametrize("value", ['"seven"', "7"])
async def test_an_answer_by_hand(
    server: Server, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    """An entry added to the resume stream answers if it is valid, and is passed over if not."""
    ids: list[UUID] = []

    @flow
    async def ask() -> int:
        ids.append(get_run_context().run_id)
        return await pause_flow_run(int, timeout=20)

    asking = asyncio.create_task(ask())
    while not ids:
        await asyncio.sleep(0.001)
    await asked(ids[0])
    with server.client() as client:
        stream = Keys("runbus").resume(ids[0])
        client.xadd(stream, {"value": f'{{"value": {value}}}'})
        if value != "7":
            while "passed over" not in caplog.text:
                await asyncio.sleep(0.005)
            client.xadd(stream, {"value": '{"value": 7}'})
    assert await asking == 7


async def test_an_entry_by_hand_that_names_another_question(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """It is passed over with a line, once; what runbus itself wrote for another one, without."""
    ids: list[UUID] = []

    @flow
    async def ask() -> int:
        ids.append(get_run_context().run_id)
        return await pause_flow_run(int, timeout=20)

    asking = asyncio.create_task(ask())
    while not ids:
        await asyncio.sleep(0.001)
    await asked(ids[0])
    value = '{"value": 7}'
    with server.client() as client:
        stream = Keys("runbus").resume(ids[0])
        client.xadd(stream, {"pause": "1", "generation": "0", "value": value, "by": "somebody"})
        client.xadd(stream, {"pause": "9", "value": value})
        client.xadd(stream, {"pause": "1", "generation": "4", "value": value})
        client.xadd(stream, {"value": value})
    assert await asking == 7
    told = [each.getMessage() for each in caplog.records if "passed over" in each.getMessage()]
    assert [each.partition("passed over: ")[2] for each in told] == [
        "it names pause 9, and the run waits in 1",
        "it names generation 4 of pause 1, and the run waits in 1",
    ]


async def test_an_answer_by_hand_answers_one_pause(server: Server) -> None:
    """An entry that names no pause is for the one that waits, and not for those that follow."""
    ids: list[UUID] = []

    @flow
    async def ask_twice() -> list[int]:
        ids.append(get_run_context().run_id)
        return [await pause_flow_run(int, timeout=20) for _ in range(2)]

    asking = asyncio.create_task(ask_twice())
    while not ids:
        await asyncio.sleep(0.001)
    await asked(ids[0])
    with server.client() as client:
        client.xadd(Keys("runbus").resume(ids[0]), {"value": '{"value": 7}'})
    while (pause := await asked(ids[0])).key == "1":
        await asyncio.sleep(0.001)
    await resume_flow_run(ids[0], {"value": 8})
    assert (pause.key, await asking) == ("2", [7, 8])


@pytest.mark.parametrize("is_async", [False, True])
def test_a_waiting_run_is_cancelled_at_once(server: Server, is_async: bool) -> None:
    """It ends where it waits, whatever the flow catches."""
    ids: list[UUID] = []
    known = threading.Event()

    @flow
    def wait() -> None:
        ids.append(get_run_context().run_id)
        known.set()
        try:
            pause_flow_run(timeout=20)
        except Exception:
            pytest.fail("caught")

    @flow
    async def wait_async() -> None:
        ids.append(get_run_context().run_id)
        known.set()
        await asyncio.Event().wait()

    def cancel() -> None:
        assert known.wait(20)
        cancel_flow_run(ids[0])

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(FlowRunCancelled):
        asyncio.run(wait_async()) if is_async else wait()
    thread.join()
    assert state_of(ids[0]).is_cancelled()
    with pytest.raises(AlreadyEnded):
        cancel_flow_run(ids[0])


async def test_a_forgotten_await_neither_approves_nor_passes(valkey: Server) -> None:
    """The result of a verb is no answer, and one that nobody awaits fails the run."""

    @flow
    async def careless() -> None:
        if pause_flow_run(bool):
            pytest.fail("approved")

    @flow
    async def forgetful() -> None:
        pause_flow_run(bool)

    for each in (careless, forgetful):
        with pytest.raises(MissingAwait):
            await each()
    states = {run.state.name for run in await get_client().read_flow_runs()}
    assert states == {"Failed"}


def test_fifty_sync_flows_paused_at_once(valkey: Server) -> None:
    """Each has a thread of its own, and all are answered."""

    @flow
    def ask(number: int) -> int:
        clerks[number].know()
        return pause_flow_run(int, timeout=60)

    clerks = [Clerk({"value": number}) for number in range(50)]
    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(ask, range(50))) == list(range(50))
    for clerk in clerks:
        clerk.done()


def test_a_pause_outlives_a_restart_of_the_server(own_server: Server) -> None:
    """The waiting side reads again once the server is back."""
    ids: list[UUID] = []
    known = threading.Event()

    @flow
    def ask() -> int:
        ids.append(get_run_context().run_id)
        known.set()
        return pause_flow_run(int, timeout=60)

    def answer() -> None:
        assert known.wait(20)
        asyncio.run(asked(ids[0]))
        own_server.restart()
        resume_flow_run(ids[0], {"value": 5})

    thread = threading.Thread(target=answer)
    thread.start()
    assert ask() == 5
    thread.join()


async def test_a_run_that_goes_on_is_not_waited_for_longer_than_asked(valkey: Server) -> None:
    """The wait ends with an error that is a TimeoutError; the run goes on."""
    done = asyncio.Event()
    ids: list[UUID] = []

    @flow
    async def wait() -> None:
        ids.append(get_run_context().run_id)
        await done.wait()

    waiting = asyncio.create_task(wait())
    while not ids:
        await asyncio.sleep(0.001)
    with pytest.raises(RunNotEnded, match="has not ended within"):
        await wait_for_flow_run(ids[0], timeout=0.05)
    with pytest.raises(RunNotEnded):
        await wait_for_flow_run(ids[0], timeout=0)
    done.set()
    await waiting
    assert (await wait_for_flow_run(ids[0], timeout=0)).state.is_completed()
    with pytest.raises(RunMissing):
        await wait_for_flow_run(uuid4(), timeout=0)


def test_what_cannot_be_served(valkey: Server) -> None:
    """It is told before anything is served."""
    one, same = (flow(work, name="one") for work in (len, sorted))
    for wrong, word in ((one, "to_deployment"), (same.to_deployment("x"), "'one/x'")):
        with pytest.raises(InvalidArgument, match=word):
            serve(one.to_deployment("x"), wrong)
    for limit in (0, -1, 1.5, True):
        with pytest.raises(InvalidArgument, match="limit"):
            one.serve("x", limit=limit)
