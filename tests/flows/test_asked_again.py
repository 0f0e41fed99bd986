"""A question that is asked again: an answer was refused, or the form has changed meanwhile."""

from __future__ import annotations

import asyncio
import inspect
import json
from contextlib import asynccontextmanager, suppress
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, Self

import pytest
from owners import Executions, form_of
from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator
from test_answers_to_a_pause import asked, begun

from runbus import (
    Flow,
    RunInput,
    flow,
    get_client,
    get_run_context,
    pause_flow_run,
    resume_flow_run,
    run_deployment,
    suspend_flow_run,
    wait_for_flow_run,
)
from runbus.errors import FlowPauseTimeout, PauseChanged, QuestionChanged, RunLost
from runbus.protocol.problems import Problem, by_place
from runbus.store.bus import current_bus
from runbus.store.records import pause_opening, pauses
from runbus.worker.serving import aserve

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from uuid import UUID

    from servers import Server

    from runbus.protocol.records import Pause


class Guest(BaseModel):
    name: str


class Booking(RunInput):
    seats: int = Field(ge=1)
    size: Literal["small", "large"]
    guests: list[Guest] = Field([])
    code: SecretStr = SecretStr("")
    by: str = "nobody"

    @field_validator("seats")
    @classmethod
    def pairs(cls, seats: int) -> int:
        if seats % 2:
            raise ValueError("we have pairs of seats alone")
        return seats

    @field_validator("code")
    @classmethod
    def right(cls, code: SecretStr) -> SecretStr:
        if code.get_secret_value().startswith("wrong"):
            raise ValueError(f"{code.get_secret_value().upper()} opens nothing")
        return code

    @model_validator(mode="after")
    def has_room(self) -> Self:
        if self.size == "small" and self.seats > 3:
            raise AssertionError("a small room has three seats")
        return self


def twice(model: Any, *, is_sync: bool) -> Flow[..., Any]:
    """A flow that asks until an answer is taken."""
    if is_sync:

        @flow(name="ask")
        def ask_in_thread() -> Any:
            while True:
                with suppress(ValueError):
                    return pause_flow_run(model, timeout=60).model_dump(mode="json")

        return ask_in_thread

    @flow(name="ask")
    async def ask() -> Any:
        while True:
            with suppress(ValueError):
                return (await pause_flow_run(model, timeout=60)).model_dump(mode="json")

    return ask


async def called(ask: Flow[..., Any]) -> Any:
    """Call a flow of either kind, and return what it does."""
    return await ask() if inspect.iscoroutinefunction(ask.fn) else await asyncio.to_thread(ask)


def typed_before(pause: Pause) -> Any:
    """The last answer, as it is offered again."""
    return json.loads(pause.former or b"null")


both_forms = pytest.mark.parametrize("is_sync", [False, True], ids=["async", "sync"])


# --- What the flow's own validators say -------------------------------------------------------


@both_forms
async def test_the_next_generation_says_what_was_wrong(server: Server, is_sync: bool) -> None:
    """At their fields, in the validator's own words, with what was typed and no secret in it."""
    asking = asyncio.create_task(called(twice(Booking, is_sync=is_sync)))
    run_id = await begun()
    first = await asked(run_id)
    assert (first.problems, first.former) == ((), None)
    wrong = {"seats": 3, "size": "small", "guests": [{"name": "Ada"}], "code": "wrong one"}
    await resume_flow_run(run_id, wrong, key=first.key, generation=1)
    second = await asked(run_id, after=first)
    assert (second.key, second.generation) == (first.key, 2)
    assert second.problems == (
        Problem(loc=("seats",), message="we have pairs of seats alone"),
        Problem(loc=("code",), message="… opens nothing"),
    )
    kept = {name: each for name, each in wrong.items() if name != "code"}
    assert typed_before(second) == kept | {"by": "nobody"}
    assert [each.problems for each in await get_client().read_pauses(run_id)] == [second.problems]
    (waiting,) = await get_client().read_waiting()
    assert waiting.pause == second
    await resume_flow_run(run_id, {"seats": 4, "size": "small"}, key=second.key, generation=2)
    third = await asked(run_id, after=second)
    assert third.problems == (Problem(loc=(), message="a small room has three seats"),)
    await resume_flow_run(run_id, {"seats": 2, "size": "small"})
    assert (await asking)["seats"] == 2
    (pause,) = await get_client().read_pauses(run_id)
    assert (pause.state, pause.generation) == ("answered", 3)


async def test_a_refused_pause_says_why_before_it_is_asked_again(valkey: Server) -> None:
    """The flow may do something else first, or nothing more."""

    @flow
    async def ask_once() -> str:
        with pytest.raises(ValueError, match="pairs"):
            await pause_flow_run(Booking, timeout=60)
        (pause,) = await get_client().read_pauses(get_run_context().run_id)
        return f"{pause.state}: {by_place(pause.problems)['seats']}"

    asking = asyncio.create_task(ask_once())
    run_id = await begun()
    await asked(run_id)
    await resume_flow_run(run_id, {"seats": 1, "size": "large"})
    assert await asking == "refused: we have pairs of seats alone"


async def test_what_is_kept_of_a_refusal_is_bounded(valkey: Server) -> None:
    """However much a validator says, and of however many items."""

    class Many(RunInput):
        items: list[str]

        @field_validator("items")
        @classmethod
        def none(cls, items: list[str]) -> list[str]:
            if items:
                raise ValueError("much is wrong " * 100_000)
            return items

    asking = asyncio.create_task(called(twice(Many, is_sync=False)))
    run_id = await begun()
    first = await asked(run_id)
    await resume_flow_run(run_id, {"items": ["x"] * 1000})
    second = await asked(run_id, after=first)
    (problem,) = second.problems
    assert problem.message.startswith("much is wrong much")
    assert len(problem.message) == 500
    await resume_flow_run(run_id, {"items": []})
    assert await asking == {"items": []}


# --- A form that has changed ------------------------------------------------------------------


class Address(BaseModel):
    street: str


class Place(BaseModel):
    street: str


class Old(RunInput):
    name: str
    size: Literal["s", "m"] = "s"
    home: Address | None = None


class WithMore(Old):
    note: str = ""


class WithChoice(RunInput):
    name: str
    size: Literal["s", "m", "l"] = "s"
    home: Address | None = None


class InOrder(RunInput):
    home: Address | None = None
    size: Literal["s", "m"] = "s"
    name: str


class Renamed(RunInput):
    name: str
    size: Literal["s", "m"] = "s"
    home: Place | None = None


class Strict(Old):
    name: str = Field(max_length=3)


class Judging(Old):
    age: int = 1

    @field_validator("name")
    @classmethod
    def known(cls, name: str) -> str:
        if name == "Grace":
            raise ValueError("we know no Grace")
        return name


CHANGES = {
    "optional": WithMore,
    "choice": WithChoice,
    "order": InOrder,
    "renamed": Renamed,
    "defaults": Old.with_initial_data(name="Bob"),
}
"""What must not matter to an answer, by the names of the flows that ask."""
GRACE = {"name": "Grace", "size": "m", "home": {"street": "Mill Lane"}}


def asks(
    *models: Any,
    name: str = "ask",
    is_sync: bool = False,
    suspends: bool = False,
    timeout: float | None = 60,
) -> Flow[..., Any]:
    """A flow that asks for these, one after the other, and returns the names."""
    verb: Any = suspend_flow_run if suspends else pause_flow_run
    if is_sync:

        @flow(name=name)
        def ask_in_thread() -> list[str]:
            return [verb(each, timeout=timeout).name for each in models]

        return ask_in_thread

    @flow(name=name)
    async def ask() -> list[str]:
        return [(await verb(each, timeout=timeout)).name for each in models]

    return ask


@asynccontextmanager
async def served(*flows: Flow[..., Any]) -> AsyncGenerator[None]:
    """Serve flows as `<name>/x`; their paused runs are handed back at the end."""
    serving = asyncio.create_task(aserve(*(each.to_deployment("x") for each in flows)))
    try:
        for each in flows:
            while not await get_client().is_served(f"{each.name}/x"):
                await asyncio.sleep(0.005)
        yield
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


async def started(name: str = "ask") -> UUID:
    return (await run_deployment(f"{name}/x", timeout=0)).id


async def in_state(run_id: UUID, name: str) -> None:
    while (await get_client().read_flow_run(run_id)).state.name != name:
        await asyncio.sleep(0.005)


async def result_of(run_id: UUID) -> Any:
    return (await wait_for_flow_run(run_id, timeout=20)).state.result()


@both_forms
async def test_an_answer_that_still_validates_is_taken(server: Server, is_sync: bool) -> None:
    """The run was suspended, is answered, and goes on in code whose form is another."""
    given = {"is_sync": is_sync, "suspends": True}
    async with served(*(asks(Old, name=name, **given) for name in CHANGES)):
        run_ids = {name: await started(name) for name in CHANGES}
        for run_id in run_ids.values():
            await in_state(run_id, "Suspended")
    for run_id in run_ids.values():
        await resume_flow_run(run_id, GRACE)
    async with served(*(asks(new, name=name, **given) for name, new in CHANGES.items())):
        for name, run_id in run_ids.items():
            assert await result_of(run_id) == ["Grace"], name
            (pause,) = await get_client().read_pauses(run_id)
            assert (pause.state, pause.generation) == ("answered", 1), name


@both_forms
async def test_a_pending_question_gets_the_new_form(server: Server, is_sync: bool) -> None:
    """Under the next generation, in the time that was left; an answer to the old one is told."""
    async with served(*(asks(Old, name=name, is_sync=is_sync) for name in CHANGES)):
        run_ids = {name: await started(name) for name in CHANGES}
        first = {name: await asked(run_id) for name, run_id in run_ids.items()}
    changed = (asks(new, name=name, is_sync=is_sync) for name, new in CHANGES.items())
    async with served(*changed):
        for name, run_id in run_ids.items():
            old, new = first[name], await asked(run_id, after=first[name])
            assert (new.key, new.generation) == (old.key, 2), name
            assert new.deadline == old.deadline, name
            assert new.schema != old.schema, name
            assert (new.problems, new.former) == ((), None), name
            with pytest.raises(QuestionChanged, match="read_pause"):
                await resume_flow_run(run_id, GRACE, key=old.key, generation=1)
            await resume_flow_run(run_id, GRACE, key=new.key, generation=2)
            assert await result_of(run_id) == ["Grace"], name


@pytest.mark.parametrize("suspends", [True, False], ids=["suspended", "paused"])
@pytest.mark.parametrize(
    ("new", "place", "words"),
    [(Strict, "name", "at most 3 characters"), (Judging, "name", "we know no Grace")],
)
@both_forms
async def test_an_answer_that_no_longer_fits_is_asked_again(
    server: Server, new: Any, place: str, words: str, suspends: bool, is_sync: bool
) -> None:
    """In the same call, with its old values and what is wrong; the flow sees no error of it."""
    async with served(asks(Old, is_sync=is_sync, suspends=True)):
        run_id = await started()
        await in_state(run_id, "Suspended")
        first = await asked(run_id)
    await resume_flow_run(run_id, GRACE)
    async with served(asks(new, is_sync=is_sync, suspends=suspends)):
        second = await asked(run_id, after=first)
        assert (second.key, second.generation) == (first.key, 2)
        assert words in by_place(second.problems)[place]
        assert typed_before(second) == GRACE
        await in_state(run_id, "Suspended" if suspends else "Paused")
        await resume_flow_run(run_id, {"name": "Ada"})
        assert await result_of(run_id) == ["Ada"]


@both_forms
async def test_an_answer_to_the_same_form_is_refused_as_ever(server: Server, is_sync: bool) -> None:
    """The flow gets the `ValidationError`, and decides."""
    async with served(asks(Judging, is_sync=is_sync, suspends=True)):
        run_id = await started()
        await in_state(run_id, "Suspended")
        await resume_flow_run(run_id, GRACE)
        run = await wait_for_flow_run(run_id, timeout=20)
    assert run.state.name == "Failed"
    assert "ValidationError" in run.state.message
    (pause,) = await get_client().read_pauses(run_id)
    assert (pause.state, by_place(pause.problems)) == ("refused", {"name": "we know no Grace"})


async def test_several_earlier_pauses_whose_forms_have_changed(server: Server) -> None:
    """Those that still validate are passed; the one that does not is asked again."""
    async with served(asks(Old, Old, Old, suspends=True)):
        run_id = await started()
        for name in ("Ada", "Grace"):
            await in_state(run_id, "Suspended")
            pause = await asked(run_id)
            await resume_flow_run(run_id, {"name": name}, key=pause.key)
        await asked(run_id, after=pause)
        await in_state(run_id, "Suspended")
    await resume_flow_run(run_id, {"name": "Bob"})
    async with served(asks(WithMore, Strict, Renamed, suspends=True)):
        again = await in_another(run_id, "2")
        assert again.generation == 2
        await in_state(run_id, "Suspended")
        await resume_flow_run(run_id, {"name": "Eve"})
        assert await result_of(run_id) == ["Ada", "Eve", "Bob"]


async def in_another(run_id: UUID, key: str) -> Pause:
    while (pause := await get_client().read_pause(run_id)) is None or pause.key != key:
        await asyncio.sleep(0.005)
    return pause


@both_forms
async def test_a_retry_of_a_failed_flow_with_a_key(server: Server, is_sync: bool) -> None:
    """What it asks by a key of its own is asked for again, where the recorded answer is no more."""
    models = iter([Old, Strict])

    def fail(name: str) -> str:
        if name == "Grace":
            raise ValueError("again")
        return name

    @flow(retries=1)
    async def ask() -> str:
        return fail((await pause_flow_run(next(models), timeout=60, key="who")).name)

    @flow(retries=1)
    def ask_in_thread() -> str:
        return fail(pause_flow_run(next(models), timeout=60, key="who").name)

    asking = asyncio.create_task(called(ask_in_thread if is_sync else ask))
    run_id = await begun()
    first = await asked(run_id)
    await resume_flow_run(run_id, GRACE)
    second = await asked(run_id, after=first)
    assert (second.key, second.generation) == ("who", 2)
    await resume_flow_run(run_id, {"name": "Ada"})
    assert await asking == "Ada"


@pytest.mark.parametrize(("old", "new"), [(Old, None), (None, Old)])
async def test_another_kind_of_question_is_an_error(server: Server, old: Any, new: Any) -> None:
    """An answer was wanted and none is, or the other way round."""
    models = iter([old, new])

    @flow(retries=1)
    async def ask() -> None:
        await pause_flow_run(next(models), timeout=60, key="it")
        raise ValueError("again")

    asking = asyncio.create_task(ask())
    run_id = await begun()
    await asked(run_id)
    await resume_flow_run(run_id, GRACE if old else None)
    with pytest.raises(PauseChanged, match="'it'"):
        await asking


async def test_two_at_once_under_one_key_do_not_change_it_in_turn(server: Server) -> None:
    """Who comes second with another form is told; the first is waited for as before."""

    @flow
    async def ask() -> str:
        first = asyncio.ensure_future(pause_flow_run(Old, timeout=60, key="it"))
        await asked(get_run_context().run_id)
        with pytest.raises(PauseChanged):
            await pause_flow_run(Strict, timeout=60, key="it")
        await resume_flow_run(get_run_context().run_id, GRACE, key="it", generation=1)
        return (await first).name

    assert await ask() == "Grace"


# --- Races ------------------------------------------------------------------------------------


async def test_an_older_execution_does_not_take_the_question_back(server: Server) -> None:
    """It asks anew after a reconnect, with its own form, and learns that the run is lost."""
    several = Executions()
    await several.next()
    await several.ask(Old)
    await several.next()
    assert (await several.ask(WithMore)).generation == 2
    with pytest.raises(RunLost):
        await several.ask(Old, by=0)
    assert (await several.ask(WithMore)).generation == 2, "the same form is the same question"
    await several.end()


async def test_an_answer_at_the_moment_of_the_change(server: Server) -> None:
    """Whoever has read the old question is told, and what they wrote is not stored."""
    several = Executions()
    await several.next()
    await several.ask(Old)
    run, pause = await pauses.read_pending(current_bus(), several.run_id)
    assert pause is not None
    await several.next()
    await several.ask(WithMore)
    with pytest.raises(QuestionChanged):
        await pauses.answer(current_bus(), run, pause, b'{"name":"Ada"}', "ada")
    now = await get_client().read_pause(several.run_id)
    assert now is not None
    assert (now.state, now.generation) == ("pending", 2)
    await several.end()


async def test_an_answer_just_before_the_change_is_judged_by_the_new_form(server: Server) -> None:
    """It was first: it is handed back, and asked for again only if it does not fit."""
    several = Executions()
    await several.next()
    await several.ask(Old)
    await resume_flow_run(several.run_id, GRACE)
    await several.next()
    found = await several.ask(Strict)
    assert (found.is_answered, found.generation) == (True, 1)
    why = pause_opening.Refused(generation=1, problems=b"[]", veiled=b"[]")
    again = await several.ask(Strict, refused=why)
    assert (again.is_answered, again.generation) == (False, 2)
    repeated = await several.ask(Strict, refused=why)
    assert (repeated.is_answered, repeated.generation) == (False, 2), "its reply was lost"
    await resume_flow_run(several.run_id, {"name": "Ada"})
    repeated = await several.ask(Strict, refused=why)
    assert (repeated.is_answered, repeated.generation) == (True, 2)
    await several.end()


async def test_a_changed_question_keeps_the_last_answer(server: Server) -> None:
    """It was refused, asked again, and then the form changed: all is kept but what is secret."""
    several = Executions()
    await several.next()

    class Secret(Old):
        size: SecretStr = SecretStr("")

    opened = await several.ask(Secret)
    await resume_flow_run(several.run_id, GRACE)
    problems = b'[{"loc":["name"],"message":"no"},{"loc":[null],"message":"not ours"},7]'
    why = pause_opening.Refused(generation=1, problems=problems, veiled=b'["size"]')
    await pause_opening.refuse(current_bus(), several.run_id, opened, why)
    assert (await several.ask(Secret)).generation == 2
    await several.next()
    assert (await several.ask(Old)).generation == 3
    pause = await get_client().read_pause(several.run_id)
    assert pause is not None
    assert pause.problems == (Problem(loc=("name",), message="no"),)
    assert typed_before(pause) == {"name": "Grace", "home": {"street": "Mill Lane"}}
    await several.end()


async def test_a_changed_question_whose_time_is_over(server: Server) -> None:
    """It gets no new time with its new form."""
    several = Executions()
    await several.next()
    await several.ask(Old, timeout=0.05)
    await several.next()
    await asyncio.sleep(0.06)
    found = await several.ask(WithMore, timeout=60)
    assert found.seconds_left == 0
    await several.end()


async def test_the_deadline_of_a_changed_question_ends_the_wait(server: Server) -> None:
    """As told when it was first asked."""

    async with served(asks(Old, timeout=2)):
        run_id = await started()
        first = await asked(run_id)
    async with served(asks(WithMore, timeout=600)):
        assert (await asked(run_id, after=first)).deadline == first.deadline
        run = await wait_for_flow_run(run_id, timeout=20)
    assert run.state.name == "Failed"
    assert FlowPauseTimeout.__name__ in run.state.message or "time" in run.state.message


@pytest.mark.parametrize("names_generation", [False, True])
async def test_an_entry_by_hand_for_the_old_question(
    server: Server, names_generation: bool
) -> None:
    """It came while no process looked: one that names no generation is judged by the new form."""
    bus = current_bus()
    async with served(asks(Old)):
        run_id = await started()
        first = await asked(run_id)
    for value in (b'{"name":"Grace"}', b'{"name":"Ada"}'):
        of = ("generation", "1") if names_generation else ()
        await bus.commands.command("XADD", bus.keys.resume(run_id), "*", *of, "value", value)
    async with served(asks(Strict)):
        if names_generation:
            await asked(run_id, after=first)
            await resume_flow_run(run_id, {"name": "Eve"})
        assert await result_of(run_id) == ["Eve" if names_generation else "Ada"]


async def test_a_set_in_a_default_is_no_other_form(valkey: Server) -> None:
    """Each process has an order of its own for it."""

    class Tags(Enum):
        A = "a"
        B = "b"

    class Tagged(RunInput):
        name: str
        tags: set[str] = Field({"red", "green", "blue", "black"})
        kinds: frozenset[Tags] = frozenset(Tags)

    form = await form_of(Tagged)
    assert b'"default":["black","blue","green","red"]' in form.schema
    assert b'"default":["a","b"]' in form.schema


# --- A field that is gone ---------------------------------------------------------------------


class Phone(BaseModel):
    model_config = {"extra": "forbid"}

    number: str


class PhoneWithKind(Phone):
    kind: str = "home"


class Mail(BaseModel):
    model_config = {"extra": "forbid"}

    kind: str = "work"
    mail: str


class WithNote(RunInput):
    name: str
    note: str = "n1"
    phones: list[PhoneWithKind] = Field([])
    by: dict[str, PhoneWithKind | Mail] = Field({})


class WithoutNote(RunInput):
    name: str
    phones: list[Phone] = Field([])
    by: dict[str, Phone | Mail] = Field({})


DEEP = {
    "phones": [{"number": "1", "kind": "home"}],
    "by": {"x": {"number": "2", "kind": "home"}, "y": {"mail": "m", "kind": "work"}},
}
"""With the defaults at every depth, as the page and the command line send them."""


@pytest.mark.parametrize("suspends", [True, False], ids=["suspended", "paused"])
@both_forms
async def test_a_default_of_a_field_that_is_gone_is_nobodys(
    server: Server, suspends: bool, is_sync: bool
) -> None:
    """Earlier pauses are passed, and the question that is open goes on; nothing is asked again."""
    given: Any = {"is_sync": is_sync, "suspends": suspends}
    async with served(asks(WithNote, WithNote, WithNote, **given)):
        run_id = await started()
        for key, answer in (("1", {"name": "Ada"}), ("2", {"name": "Eve", **DEEP})):
            await in_another(run_id, key)
            await resume_flow_run(run_id, answer, key=key)
        await in_another(run_id, "3")
    if suspends:
        await resume_flow_run(run_id, {"name": "Bob", "note": "n1"})
    async with served(asks(WithoutNote, WithoutNote, WithoutNote, **given)):
        if not suspends:
            await asked_as(run_id, 2)
            await resume_flow_run(run_id, {"name": "Bob"})
        assert await result_of(run_id) == ["Ada", "Eve", "Bob"]
    generations = [each.generation for each in await get_client().read_pauses(run_id)]
    assert generations == [1, 1, 1 if suspends else 2]


async def asked_as(run_id: UUID, generation: int) -> None:
    while (pause := await get_client().read_pause(run_id)) is None or (
        pause.generation != generation
    ):
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("more", "place"),
    [({"note": "mine"}, "note"), ({"phones": [{"number": "1", "kind": "cell"}]}, "phones.1.kind")],
)
async def test_a_value_that_somebody_gave_is_asked_about(
    valkey: Server, more: Any, place: str
) -> None:
    """It differs from the default of the field that is gone; what is nobody's is not named."""
    async with served(asks(WithNote, suspends=True)):
        run_id = await started()
        await in_state(run_id, "Suspended")
        first = await asked(run_id)
    await resume_flow_run(run_id, {"name": "Ada", **more})
    async with served(asks(WithoutNote, suspends=True)):
        second = await asked(run_id, after=first)
        assert list(by_place(second.problems)) == [place]
        await resume_flow_run(run_id, {"name": "Ada"})
        assert await result_of(run_id) == ["Ada"]
