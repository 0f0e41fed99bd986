"""JSON blocks and variables: values under names, with and without `await`."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from proxy import Proxy

from runbus import RunbusError, bound_run
from runbus.blocks.system import JSON
from runbus.errors import InvalidArgument, MissingAwait, NotSerializable, ServerRefused
from runbus.store.commands import Commands
from runbus.variables import Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers import Server

    Configure = Callable[..., None]

pytestmark = pytest.mark.keys_without_lifetime

ODD_VALUES = [
    None,
    False,
    0,
    "",
    [],
    {},
    1.5,
    -0.0,
    10**40,
    -(2**63) - 1,
    "漢字 👍 \x00\n\u2028",
    {"": None, "a": [{"b": [[], {}, None, True]}], "ü": "\\u0000"},
    [[[[[[[["deep"]]]]]]]],
]
BAD_NAMES = ["", " ", "a\nb", "a\x00", "\x7f", "a\u2028b", "\ud800", "x" * 1025, 5, b"x", None]


def nested(depth: int) -> list[Any]:
    """A list in a list in a list …"""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.fixture
def proxied(server: Server, configure: Configure) -> Iterator[Proxy]:
    """A proxy between runbus and the server, with a connection that is in use."""
    with Proxy(server.host, server.port) as proxy:
        configure(url=proxy.url)
        Variable.get("warm-up")
        yield proxy


# --- Round trips -----------------------------------------------------------------------------


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: f"{value!r:.20}")
def test_a_value_comes_back_in_a_thread(server: Server, value: Any) -> None:
    """Any JSON value is read back as it was stored, and its type with it."""
    JSON(value=value).save(name="odd")
    Variable.set("odd", value)
    for loaded in (JSON.load("odd").value, Variable.get("odd", default="unused")):
        assert repr(loaded) == repr(value)


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: f"{value!r:.20}")
async def test_a_value_comes_back_on_a_loop(valkey: Server, value: Any) -> None:
    """The same with `await`."""
    await JSON(value=value).save(name="odd")
    await Variable.set("odd", value)
    for loaded in (await JSON.load("odd"), JSON(value=await Variable.get("odd", default="unused"))):
        assert isinstance(loaded, JSON)
        assert repr(loaded.value) == repr(value)


async def test_the_spellings_of_async_code(server: Server) -> None:
    """The verbs' typed spellings do what the plain ones do, and refuse what they refuse."""
    await JSON(value=[1]).asave("x")
    await Variable.aset("x", 2)
    assert (await JSON.aload("x"), await Variable.aget("x")) == (JSON(value=[1]), 2)
    with pytest.raises(InvalidArgument, match="overwrite=True"):
        await Variable.aset("x", 3)
    assert (await Variable.aunset("x"), await Variable.aunset("x")) == (True, False)
    assert await Variable.aget("x", default=4) == 4
    with pytest.raises(InvalidArgument, match="no JSON block"):
        await JSON.aload("y")
    for work in (JSON.aload(""), JSON(value=1).asave(""), Variable.aget(""), Variable.aunset("")):
        with pytest.raises(InvalidArgument):
            await work


def test_what_is_stored_is_plain_json(server: Server) -> None:
    """Other programs read and write the same values, under keys that never expire."""
    JSON(value={"a": [1, None]}).save("settings")
    Variable.set("greeting", "hello")
    with server.client() as client:
        assert client.get("runbus:block:json:settings") == '{"a":[1,null]}'
        assert client.get("runbus:variable:greeting") == '"hello"'
        assert {client.ttl(key) for key in client.scan_iter()} == {-1}
        client.set("runbus:variable:foreign", ' {"b": 2} ')
    assert Variable.get("foreign") == {"b": 2}


def test_blocks_and_variables_have_names_of_their_own(valkey: Server) -> None:
    """A block and a variable of one name are two things."""
    JSON(value=1).save("x")
    Variable.set("x", 2)
    assert (JSON.load("x"), Variable.get("x")) == (JSON(value=1), 2)
    Variable.unset("x")
    assert JSON.load("x").value == 1


async def test_a_block_is_saved_as_it_is_at_the_call(valkey: Server) -> None:
    """What changes between the call and the `await` is not stored."""
    block = JSON(value=[1])
    saving = block.save("x")
    block.value.append(2)
    await saving
    assert (await JSON.load("x")).value == [1]


def test_a_block_of_a_class_of_ones_own(valkey: Server) -> None:
    """A subclass loads itself."""

    class Settings(JSON):
        pass

    Settings(value=1).save("x")
    assert type(Settings.load("x")) is Settings


# --- Missing and existing --------------------------------------------------------------------


def test_what_is_missing(server: Server) -> None:
    """A missing block is a `ValueError`, a missing variable its default."""
    with pytest.raises(InvalidArgument, match="no JSON block") as raised:
        JSON.load("nothing")
    assert isinstance(raised.value, ValueError)
    assert isinstance(raised.value, RunbusError)
    assert Variable.get("nothing") is None
    marker = object()
    assert Variable.get("nothing", default=marker) is marker


async def test_what_is_missing_on_a_loop(valkey: Server) -> None:
    """The same with `await`, which is where the error is raised."""
    loading = JSON.load("nothing")
    with pytest.raises(ValueError, match="no JSON block"):
        await loading
    assert await Variable.get("nothing", 5) == 5


def test_what_exists_is_not_overwritten_unasked(server: Server) -> None:
    """Another value is refused as a `ValueError` and changes nothing, unless `overwrite` is set."""
    JSON(value=1).save("x")
    Variable.set("x", 1)
    with pytest.raises(ValueError, match="overwrite=True"):
        JSON(value=2).save(name="x")
    with pytest.raises(ValueError, match="overwrite=True"):
        Variable.set("x", 2)
    assert (JSON.load("x").value, Variable.get("x")) == (1, 1)
    JSON(value=2).save(name="x", overwrite=True)
    Variable.set("x", 2, overwrite=True)
    assert (JSON.load("x").value, Variable.get("x")) == (2, 2)


async def test_what_exists_is_not_overwritten_unasked_on_a_loop(valkey: Server) -> None:
    """The same with `await`."""
    await JSON(value=1).save("x", overwrite=True)
    await Variable.set("x", 1, overwrite=True)
    with pytest.raises(InvalidArgument, match="overwrite=True"):
        await JSON(value=2).save("x")
    with pytest.raises(InvalidArgument, match="overwrite=True"):
        await Variable.set("x", 2)
    assert (await JSON.load("x"), await Variable.get("x")) == (JSON(value=1), 1)


def test_the_same_value_again_is_no_conflict(valkey: Server) -> None:
    """Saving what is stored already succeeds, because a repeat looks just like it."""
    for _ in range(2):
        JSON(value={"a": 1}).save("x")
        Variable.set("x", [1])


def test_unset(server: Server) -> None:
    """Unsetting says whether there was something, and makes room for another value."""
    Variable.set("x", None)
    assert Variable.unset("x") is True
    assert Variable.unset("x") is False
    Variable.set("x", 2)
    assert Variable.get("x") == 2


async def test_unset_on_a_loop(valkey: Server) -> None:
    """The same with `await`."""
    await Variable.set("x", 1)
    assert await Variable.unset("x") is True
    assert await Variable.unset("x") is False
    assert await Variable.get("x") is None


# --- Several at once, lost replies -----------------------------------------------------------


async def test_of_savers_on_a_loop_one_wins(server: Server) -> None:
    """Of several that save at once, one stores its value and the others hear of it."""
    for save, load in ((_save_block, _load_block), (Variable.set, Variable.get)):
        outcomes = await asyncio.gather(
            *(save("x", number) for number in range(20)), return_exceptions=True
        )
        winners = [number for number, outcome in enumerate(outcomes) if outcome is None]
        assert [await load("x")] == winners
        assert sum(isinstance(outcome, InvalidArgument) for outcome in outcomes) == 19


def _save_block(name: str, value: Any) -> Any:
    return JSON(value=value).save(name)


async def _load_block(name: str) -> Any:
    return (await JSON.load(name)).value


def test_of_savers_in_threads_one_wins(valkey: Server) -> None:
    """The same in threads."""

    def attempt(number: int) -> bool:
        try:
            Variable.set("x", number)
        except InvalidArgument:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(attempt, range(8)))
    assert [number for number in range(8) if won[number]] == [Variable.get("x")]


def test_a_save_whose_reply_is_lost(proxied: Proxy) -> None:
    """The repeat finds its own value and succeeds."""
    proxied.lose_next_reply()
    JSON(value=1).save("x")
    proxied.lose_next_reply()
    Variable.set("x", 2)
    assert proxied.connections_total == 3  # a connection ends with the reply that it lost
    assert (JSON.load("x").value, Variable.get("x")) == (1, 2)


def test_a_refusal_whose_reply_is_lost(proxied: Proxy) -> None:
    """The repeat is refused like the first."""
    Variable.set("x", 1)
    proxied.lose_next_reply()
    with pytest.raises(InvalidArgument, match="overwrite=True"):
        Variable.set("x", 2)
    assert Variable.get("x") == 1


@pytest.mark.parametrize("lost", ["EXISTS", "DEL"])
def test_an_unset_whose_reply_is_lost(
    proxied: Proxy, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Whether there was a variable is known although the deletion was repeated."""
    Variable.set("x", 1)
    command = Commands.command

    async def losing(self: Commands, *words: Any) -> Any:
        if words[0] == lost:
            await asyncio.to_thread(proxied.lose_next_reply)
        return await command(self, *words)

    monkeypatch.setattr(Commands, "command", losing)
    assert Variable.unset("x") is True
    assert proxied.connections_total == 2
    assert Variable.get("x") is None


# --- Wrong calls -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: f"{name!r:.12}")
def test_a_name_that_is_none(valkey: Server, name: Any) -> None:
    """An empty, over-long or unprintable name is refused by every verb, and nothing is stored."""
    calls: list[Callable[[], Any]] = [
        lambda: JSON.load(name),
        lambda: JSON(value=1).save(name),
        lambda: Variable.get(name),
        lambda: Variable.set(name, 1),
        lambda: Variable.unset(name),
    ]
    for call in calls:
        with pytest.raises(InvalidArgument, match="name=") as raised:
            call()
        assert raised.value.argument == "name"
        assert len(str(raised.value)) < 200
    with valkey.client() as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize("name", ["x" * 1024, "a b", "a:b/{c}*?[d]", "漢字"], ids=lambda n: n[:9])
def test_a_name_at_the_limits(valkey: Server, name: str) -> None:
    """Any other text is a name."""
    JSON(value=1).save(name)
    Variable.set(name, 2)
    assert (JSON.load(name).value, Variable.get(name)) == (1, 2)


def test_a_name_from_an_enum(valkey: Server) -> None:
    """A member of a str enum goes by its value."""

    class Name(str, Enum):  # noqa: UP042  (a StrEnum prints as its value)
        LIMIT = "limit"

    Variable.set(Name.LIMIT, 1)
    assert Variable.get("limit") == 1


async def test_a_wrong_call_on_a_loop(valkey: Server) -> None:
    """The call itself raises and not the `await`."""
    with pytest.raises(InvalidArgument, match="name="):
        Variable.get("")
    with pytest.raises(NotSerializable):
        JSON(value=object()).save("x")


def test_a_value_that_is_too_large(server: Server, configure: Configure) -> None:
    """The limit is on the bytes of the JSON; one byte more is refused and changes nothing."""
    configure(max_input_bytes=10)
    JSON(value="x" * 8).save("x")
    Variable.set("x", "漢字yy")
    with pytest.raises(InvalidArgument, match="RUNBUS_MAX_INPUT_BYTES") as raised:
        JSON(value="x" * 9).save("x", overwrite=True)
    assert isinstance(raised.value, ValueError)
    with pytest.raises(InvalidArgument, match="RUNBUS_MAX_INPUT_BYTES"):
        Variable.set("x", "漢字yyy", overwrite=True)
    assert (JSON.load("x").value, Variable.get("x")) == ("x" * 8, "漢字yy")


@pytest.mark.parametrize(
    "value",
    [object(), "\ud800", nested(1000), nested(220), 10**5000, [10**5000]],
    ids=["object", "surrogate", "endless", "too deep to read", "too long an int", "one in a list"],
)
def test_a_value_that_could_not_be_read_back(valkey: Server, value: Any) -> None:
    """What has no JSON, or only such as could not be read, is refused before it is stored."""
    with pytest.raises(NotSerializable):
        JSON(value=value).save("x")
    with pytest.raises(NotSerializable):
        Variable.set("x", value)
    with valkey.client() as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"hello"], ids=repr)
def test_somebody_elses_bytes(valkey: Server, data: bytes) -> None:
    """What is not JSON under a name is a `RunbusError` that says so."""
    with valkey.client() as client:
        client.set("runbus:variable:x", data)
        client.set("runbus:block:json:x", data)
    with pytest.raises(InvalidArgument, match="not JSON"):
        Variable.get("x")
    with pytest.raises(InvalidArgument, match="not JSON"):
        JSON.load("x")


def test_somebody_elses_key(server: Server) -> None:
    """A key of another kind is left alone."""
    with server.client() as client:
        client.lpush("runbus:variable:x", "1")
    with pytest.raises(ServerRefused, match="WRONGTYPE"):
        Variable.get("x")
    with pytest.raises(ServerRefused, match="WRONGTYPE"):
        Variable.set("x", 1)


async def test_a_forgotten_await(valkey: Server) -> None:
    """A result that is used without `await` is an error that says what to write."""
    with pytest.raises(MissingAwait, match=r"await Variable\.get\(\)"):
        if Variable.get("x"):
            pass
    with pytest.raises(MissingAwait, match=r"await Variable\.unset\(\)"):
        assert not Variable.unset("x")
    with pytest.raises(MissingAwait, match=r"await block\.save\(\)"):
        async with bound_run(uuid4()):
            JSON(value=1).save("x")
    with pytest.raises(MissingAwait, match=r"await JSON\.load\(\)"):
        async with bound_run(uuid4()):
            JSON.load("x")
    with pytest.raises(MissingAwait, match=r"await Variable\.set\(\)"):
        async with bound_run(uuid4()):
            Variable.set("x", 1)
