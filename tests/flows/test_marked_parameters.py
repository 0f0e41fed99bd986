"""Parameters that a flow marks as secret, of runs that no worker started: never stored."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from faults import PATIENCE, answer, result_of, started, state_of, until
from pydantic import BaseModel, Field, SecretStr
from typing_extensions import TypedDict, Unpack

from runbus import flow, get_client
from runbus.background.bridge import run as block
from runbus.cli.json_output import written

if TYPE_CHECKING:
    from pathlib import Path

    from faults import StartProcess
    from servers import Server

CANARY = "canary-7Qx"
Pin = Annotated[str, Field(json_schema_extra={"format": "password"})]
Number = Annotated[int, Field(json_schema_extra={"writeOnly": True})]


class Account(BaseModel):
    user: str = "ada"
    token: Pin = Field(CANARY, validation_alias="in", serialization_alias="out")


class Options(TypedDict):
    pin: Pin


@flow
def plain(pin: Pin, note: str = "") -> None: ...


@flow
def whole_number(pin: Number) -> None: ...


@flow
def default(pin: Pin = CANARY) -> None: ...


@flow
def several(*pins: Pin) -> None: ...


@flow
def named(**pins: Pin) -> None: ...


@flow
def options(**options: Unpack[Options]) -> None: ...


@flow
def within(account: Account, others: list[Account]) -> None: ...


@flow
def in_a_dict(pins: dict[str, Pin | None]) -> None: ...


@flow
async def on_a_loop(pin: Pin) -> None: ...


CALLS: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = [
    (plain, (CANARY, "seen"), {}, {"pin": "…", "note": "seen"}),
    (whole_number, (7314992,), {}, {"pin": "…"}),
    (default, (), {}, {"pin": "…"}),
    (several, (CANARY, CANARY), {}, {"pins": "…"}),
    (named, (), {"one": CANARY}, {"pins": "…"}),
    (options, (), {"pin": CANARY}, {"options": {"pin": "…"}}),
    (
        within,
        (Account(), [Account()]),
        {},
        {"account": {"user": "ada", "token": "…"}, "others": [{"user": "ada", "token": "…"}]},
    ),
    (in_a_dict, ({"one": CANARY},), {}, {"pins": "…"}),
]


@pytest.mark.parametrize(("fn", "args", "kwargs", "shown"), CALLS, ids=lambda each: str(each)[:20])
def test_what_a_flow_marks_is_not_stored(
    valkey: Server, fn: Any, args: Any, kwargs: Any, shown: Any
) -> None:
    """Whoever calls it directly: the run's record has a veil, wherever the secret was."""
    fn(*args, **kwargs)
    (run,) = block(lambda: get_client().read_flow_runs())
    assert run.parameters == shown
    with valkey.client() as client:
        (key,) = client.keys("*:run")
        stored = str(client.hgetall(key))
    assert CANARY not in stored
    assert "7314992" not in stored


async def test_what_an_async_flow_marks_is_not_stored(valkey: Server) -> None:
    """As what a sync one does."""
    await on_a_loop(CANARY)
    (run,) = await get_client().read_flow_runs()
    assert run.parameters == {"pin": "…"}


@flow
def child(pin: Pin, token: SecretStr) -> None: ...


def test_what_a_child_is_called_with_is_not_stored(valkey: Server) -> None:
    """Nor is what the call is known by again shown by a door."""
    flow(lambda: child(CANARY, SecretStr(CANARY)), name="outer")()
    for run in block(lambda: get_client().read_flow_runs()):
        assert CANARY not in str(run)
        assert "secrets" not in written(run)
    with valkey.client() as client:
        stored = [client.hgetall(key) for key in client.keys("*:run")]
    assert CANARY not in str(stored)
    assert str(stored).count("secrets") == 1


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
@pytest.mark.parametrize("is_another", [False, True])
def test_the_same_secret_is_the_same_call(
    start_process: StartProcess, tmp_path: Path, is_another: bool
) -> None:
    """A child that has completed gives its stored result to no call with another secret."""
    secret = tmp_path / "secret"
    secret.write_text("first")
    first = start_process("secret_family.py")
    run_id = started("pay/x", {"secret": str(secret)})
    until(lambda: state_of(run_id) == "Paused")
    first.send_signal(signal.SIGKILL)
    first.wait(PATIENCE)
    if is_another:
        secret.write_text("other")
    second = start_process("secret_family.py")
    answer(run_id, True)
    by_whom = second if is_another else first
    assert result_of(run_id) == [by_whom.pid] * 2
