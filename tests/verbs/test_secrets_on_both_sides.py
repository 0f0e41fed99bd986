"""Secrets in what is sent, answered, returned and passed: whole, or refused; never as stars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from pydantic import BaseModel, Secret, SecretBytes, SecretStr, field_serializer

from runbus import (
    RunInput,
    flow,
    pause_flow_run,
    receive_input,
    resume_flow_run,
    send_input,
)
from runbus.background.bridge import run as block
from runbus.client import get_client
from runbus.errors import NotSerializable
from runbus.variables import Variable

if TYPE_CHECKING:
    from servers import Server


class Login(BaseModel):
    user: str
    password: SecretStr


class Asked(RunInput):
    password: SecretStr = SecretStr("canary")
    note: str = "**********"


@dataclass
class Kept:
    logins: list[Login]


class Open(RunInput):
    password: SecretStr

    @field_serializer("password")
    def reveal(self, password: SecretStr) -> str:
        return password.get_secret_value()


LOGIN = Login(user="ada", password=SecretStr("canary"))
SECRETS: list[tuple[Any, str]] = [
    (SecretStr("canary"), "it is a secret"),
    (SecretBytes(b"canary"), "it is a secret"),
    (Secret[str]("canary"), "it is a secret"),
    (LOGIN, "`password` is"),
    (Asked(), "`password` is"),
    ([LOGIN], "`1.password` is"),
    ({"first": {"second": (1, SecretStr("canary"))}}, "`first.second.2` is"),
    (Kept(logins=[LOGIN]), "`logins.1.password` is"),
]


@pytest.mark.parametrize(("value", "place"), SECRETS)
def test_a_secret_is_refused(valkey: Server, value: Any, place: str) -> None:
    """By every verb that would store it, with where it is and what to do."""
    stores = (
        lambda: send_input(value, uuid4(), key_prefix="secrets"),
        lambda: Variable.set("secret", value),
    )
    for store in stores:
        with pytest.raises(NotSerializable, match="get_secret_value") as refused:
            store()
        assert "canary" not in str(refused.value)
        assert place in str(refused.value)
    with valkey.client() as client:
        assert not client.keys("*:input:*")


@pytest.mark.parametrize("value", [each for each, _ in SECRETS])
def test_a_result_with_a_secret(
    valkey: Server, caplog: pytest.LogCaptureFixture, value: Any
) -> None:
    """It is returned as it is, not kept, and a line says so."""
    assert flow(lambda: value, name="returns")() is value
    (run,) = block(lambda: get_client().read_flow_runs())
    assert (run.state.name, run.state.data) == ("Completed", None)
    assert any("the result is not kept" in each for each in caplog.messages)
    assert "canary" not in caplog.text


def test_stars_that_are_no_secret(valkey: Server) -> None:
    """They are a text like any other; and who writes a secret out has it sent whole."""
    run_id = uuid4()
    send_input("**********", run_id)
    assert receive_input(str, flow_run_id=run_id, timeout=0).next() == "**********"
    send_input(Open(password=SecretStr("whole")), run_id)
    received = receive_input(Open, flow_run_id=run_id, timeout=0).next()
    assert received.password.get_secret_value() == "whole"


def test_a_default_that_is_a_secret(valkey: Server) -> None:
    """It is in no form and in no answer: the flow fills it in, whole."""

    @flow
    def ask() -> Asked:
        from threading import Thread

        from runbus import get_run_context
        from runbus.errors import NotPaused

        run_id = get_run_context().run_id

        def answer() -> None:
            while True:
                try:
                    return resume_flow_run(run_id, {}) and None
                except NotPaused:
                    continue

        person = Thread(target=answer)
        person.start()
        answered = pause_flow_run(Asked)
        person.join()
        return answered

    answered = ask()
    assert answered.password.get_secret_value() == "canary"
    assert answered.note == "**********"
    (run,) = block(lambda: get_client().read_flow_runs())
    (pause,) = block(lambda: get_client().read_pauses(run.id))
    assert "default" not in (pause.schema or {})["properties"]["password"]  # type: ignore[index]
    assert pause.value == b'{"note":"**********"}'
