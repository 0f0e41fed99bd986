"""`RunInput.save` and `load`: a model of the user's own ways to ask and to read the answer."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import pytest
from pydantic import ValidationError

from runbus import RunInput, flow, get_client, get_run_context, pause_flow_run, resume_flow_run
from runbus.background.bridge import run as block
from runbus.errors import AnswerRefused, NobodyToAnswer, NotPaused, UsageError
from runbus.input import Form, Keyset
from runbus.protocol.keys import Keys

if TYPE_CHECKING:
    from uuid import UUID

    from servers import Server

    from runbus.protocol.records import Pause

SHIFT = 3


def encrypted(text: str) -> str:
    """What a real cipher would do."""
    return "".join(chr(ord(letter) + SHIFT) for letter in text)


def decrypted(text: str) -> str:
    return "".join(chr(ord(letter) - SHIFT) for letter in text)


class Sealed(RunInput):
    """What whoever answers hands in."""

    body: str


class Diagnosis(RunInput):
    """What the flow gets. Its own form is for the answering side's eyes only."""

    illness: str
    severe: bool = False

    @classmethod
    async def save(cls, keyset: Keyset, flow_run_id: UUID | None = None) -> Form:
        """Ask for the sealed text instead."""
        own = await super().save(keyset, flow_run_id)
        FORMS[keyset["schema"], flow_run_id] = own.schema
        return replace(own, schema=Sealed.model_json_schema())

    @classmethod
    async def load(cls, keyset: Keyset, flow_run_id: UUID | None = None) -> Self:
        """Open it."""
        sealed = await Sealed.load(keyset, flow_run_id)
        return cls.model_validate_json(decrypted(sealed.body))


class Archived(RunInput):
    """Whose answer lies in a place of its own; the run stores where."""

    text: str

    @classmethod
    async def load(cls, keyset: Keyset, flow_run_id: UUID | None = None) -> Self:
        answered = await super().load(keyset, flow_run_id)
        return cls(text=ARCHIVE[answered.text])


FORMS: dict[tuple[str, UUID | None], dict[str, Any]] = {}
ARCHIVE = {"shelf 7": "the whole story"}


def answered(asked_for: Any, *answers: dict[str, Any], is_async: bool) -> Any:
    """A flow that asks until it likes an answer: its run's id, and what it was given."""
    ids: list[UUID] = []
    known = threading.Event()

    def answer() -> None:
        assert known.wait(20)
        for each in answers:
            asyncio.run(resumed(ids[0], each))

    def begin() -> None:
        ids.append(get_run_context().run_id)
        known.set()

    @flow
    def ask() -> Any:
        begin()
        while True:
            with suppress(ValidationError):
                return pause_flow_run(asked_for, timeout=20)

    @flow
    async def ask_async() -> Any:
        begin()
        return await pause_flow_run(asked_for, timeout=20)

    thread = threading.Thread(target=answer)
    thread.start()
    found = asyncio.run(ask_async()) if is_async else ask()
    thread.join(20)
    return ids[0], found


async def resumed(run_id: UUID, answer: dict[str, Any]) -> None:
    """Answer a run as soon as it asks."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await resume_flow_run(run_id, answer, by="dr. who")
            except NotPaused:
                await asyncio.sleep(0.005)


@pytest.mark.parametrize("is_async", [False, True])
def test_an_answer_that_is_stored_sealed(server: Server, is_async: bool) -> None:
    """The server has the sealed text alone; the flow gets the model, its own form is kept aside."""
    body = encrypted('{"illness": "flu"}')
    question = Diagnosis.with_initial_data(description="**What** is it?")
    run_id, diagnosis = answered(question, {"body": body}, is_async=is_async)
    assert (type(diagnosis), diagnosis.illness, diagnosis.severe) == (question, "flu", False)
    assert FORMS.pop(("pause-1-schema", run_id))["properties"].keys() == {"illness", "severe"}
    with server.client() as client:
        record = client.hgetall(Keys("runbus").pause(run_id, "1"))
    assert record["description"] == "**What** is it?"
    assert "flu" not in str(record)
    assert "illness" not in record["schema"]


def test_a_sealed_answer_that_is_none_is_asked_for_anew(valkey: Server) -> None:
    """What `load` makes nothing of is refused, as what a validator refuses."""
    bodies = [{"body": encrypted(text)} for text in ("{}", "nonsense", '{"illness": "flu"}')]
    _, diagnosis = answered(Diagnosis, *bodies, is_async=False)
    assert diagnosis.illness == "flu"


def test_an_answer_that_lies_elsewhere(valkey: Server) -> None:
    """`super().load` reads what is stored, by which the model finds the rest."""
    _, found = answered(Archived, {"text": "shelf 7"}, is_async=True)
    assert found.text == "the whole story"


def test_an_answer_says_where_it_comes_from(valkey: Server) -> None:
    """Its metadata name the pause and who answered; a person is nobody to respond to."""
    run_id, sealed = answered(Sealed, {"body": "x"}, is_async=False)
    metadata = sealed.metadata
    assert (metadata.key, metadata.sender, metadata.receiver) == (
        *("pause-1-response", "dr. who"),
        run_id,
    )
    with pytest.raises(NobodyToAnswer):
        sealed.respond("thanks")


def test_an_answer_is_read_again_later(valkey: Server) -> None:
    """`load` reads what a pause was answered with, from outside of the run too."""
    run_id, _ = answered(Sealed, {"body": "x"}, is_async=False)
    names = Keyset("1")
    assert block(lambda: Sealed.load(names, run_id)).body == "x"
    other = Keyset("2")
    with pytest.raises(NotPaused):
        block(lambda: Sealed.load(other, run_id))


async def test_the_stored_form_judges_the_answer(valkey: Server) -> None:
    """What `save` returned is what an answer is checked against."""
    ids: list[UUID] = []

    @flow
    async def ask() -> Diagnosis:
        ids.append(get_run_context().run_id)
        return await pause_flow_run(Diagnosis, timeout=20)

    async def pause() -> Pause | None:
        return await get_client().read_pause(ids[0]) if ids else None

    asking = asyncio.create_task(ask())
    while await pause() is None:
        await asyncio.sleep(0.005)
    with pytest.raises(AnswerRefused) as refused:
        await resume_flow_run(ids[0], {"illness": "flu"})
    assert refused.value.problems == {
        "body": "it is required",
        "illness": "there is no such field: the fields are body",
    }
    await resume_flow_run(ids[0], {"body": encrypted('{"illness": "flu", "severe": true}')})
    assert (await asking).severe


@pytest.mark.filterwarnings("ignore:Field name:UserWarning")
@pytest.mark.parametrize("name", ["save", "load"])
def test_fields_that_would_hide_them(name: str) -> None:
    """A field of that name is refused when the class is made."""
    with pytest.raises(UsageError, match=name):
        type("Truck", (RunInput,), {"__annotations__": {name: int}, "__module__": __name__})
