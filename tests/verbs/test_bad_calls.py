"""Calls that are wrong, limits that are reached, servers that refuse.

In each case nothing is stored, and the error is a `RunbusError` that says what to do.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from servers import Server

from runbus import RunbusError, RunInput, bound_run, receive_input, send_input
from runbus.background.bridge import run as block
from runbus.errors import (
    InputTooLarge,
    InvalidArgument,
    InvalidKeyPrefix,
    InvalidRunId,
    KeyInUse,
    NoCurrentRun,
    NotSerializable,
    RunFinished,
    RunFull,
    ServerRefused,
    ServerUnreachable,
    SettingsError,
    StreamFull,
    TooMuchUnsent,
    UsageError,
)
from runbus.store.bus import current_bus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Configure = Callable[..., None]

PASSWORD = "correct-horse-battery"
RUN_ID = UUID("018f2d3c-7a6b-7c4d-8e9f-0123456789b7")
NOBODY_LISTENS = "redis://127.0.0.1:1/0"


class Note(RunInput):
    text: str


def everything_in(server: Server) -> dict[str, Any]:
    """All that a server holds, except what receivers and connections note on their own."""
    held: dict[str, Any] = {}
    with server.client() as client:
        for key in client.scan_iter():
            match client.type(key):
                case "stream":
                    held[key] = client.xrange(key)
                case "hash":
                    fields = client.hgetall(key).items()
                    held[key] = {name: value for name, value in fields if name[:5] != "read:"}
                case "string" if key.endswith((":here", ":wire")):
                    pass
                case _:
                    held[key] = client.dump(key)
    return held


class Refusal:
    """What was raised in a block that must not have changed anything."""

    error: Any


@pytest.fixture
def refused(request: pytest.FixtureRequest) -> Any:
    """`with refused(SomeError, "a hint") as refusal:` for a block that stores nothing."""
    name = "server" if "server" in request.fixturenames else "valkey"
    server: Server = request.getfixturevalue(name)

    @contextmanager
    def expect(kind: Any, hint: str) -> Iterator[Refusal]:
        refusal = Refusal()
        block(lambda: current_bus().commands.command("PING"))  # else a new connection is what fails
        before = everything_in(server)
        with pytest.raises(kind) as raised:
            yield refusal
        refusal.error = raised.value
        assert isinstance(raised.value, RunbusError)
        assert hint in str(raised.value)
        assert everything_in(server) == before

    return expect


# --- Values that cannot be sent --------------------------------------------------------------


class Opaque:
    pass


def _endless() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


NOT_JSON = {
    "an object": Opaque(),
    "a class": Opaque,
    "a lock": threading.Lock(),
    "a function": lambda: None,
    "inside a list": [1, Opaque()],
    "inside a dict": {"a": {"b": Opaque()}},
    "as a dict's key": {Opaque(): 1},
    "lone surrogates": "\ud800",
    "lone surrogates inside": ["\udfff"],
    "itself": _endless(),
    "a coroutine function": asyncio.sleep,
}


@pytest.mark.parametrize("what", [*NOT_JSON])
def test_a_value_that_is_not_serialisable(valkey: Server, refused: Any, what: str) -> None:
    """What has no JSON is refused at the call, as a `TypeError` that names its class."""
    with refused(NotSerializable, "cannot be sent") as refusal:
        send_input(NOT_JSON[what], uuid4())
    assert isinstance(refusal.error, TypeError)
    assert isinstance(refusal.error, UsageError)
    assert refusal.error.value_type is type(NOT_JSON[what])


async def test_a_value_that_is_not_serialisable_on_a_loop(valkey: Server, refused: Any) -> None:
    """On an event loop too, the call itself raises and not the `await`."""
    with refused(NotSerializable, "cannot be sent"):
        send_input(Opaque(), uuid4())


# --- Names, ids, texts, times ----------------------------------------------------------------


@pytest.mark.parametrize(
    "prefix",
    ["", " ", "\t", "a\nb", "a\x00", "\x7f", "a\x85b", "a\u2028b", "\ud800", "ü" * 128, "x" * 256],
    ids=repr,
)
def test_a_key_prefix_that_names_nothing(valkey: Server, refused: Any, prefix: str) -> None:
    """An empty, over-long or unprintable key_prefix is a `ValueError` on both sides."""
    with refused(InvalidKeyPrefix, "key_prefix") as refusal:
        send_input(1, uuid4(), key_prefix=prefix)
    assert isinstance(refusal.error, ValueError)
    with refused(InvalidKeyPrefix, "key_prefix"):
        receive_input(int, flow_run_id=uuid4(), key_prefix=prefix)
    assert len(str(refusal.error)) < 300


@pytest.mark.parametrize("prefix", [5, b"orders", ["orders"], True], ids=repr)
def test_a_key_prefix_of_another_type(valkey: Server, refused: Any, prefix: Any) -> None:
    """Only a text can be a key_prefix."""
    with refused(InvalidKeyPrefix, "not a str"):
        send_input(1, uuid4(), key_prefix=prefix)


@pytest.mark.parametrize("prefix", ["x" * 255, "ü" * 127, "a b", "a:b/{c}*?[d]", "👍"], ids=repr)
def test_a_key_prefix_at_the_limits(valkey: Server, prefix: str) -> None:
    """Up to 255 bytes of any printable text name a stream."""
    send_input(1, RUN_ID, key_prefix=prefix)
    assert receive_input(int, flow_run_id=RUN_ID, key_prefix=prefix, timeout=0).next() == 1


BAD_RUN_IDS = [
    "",
    "my-run",
    "018f2d3c-7a6b-7c4d-8e9f-0123456789b",
    "018f2d3c-7a6b-7c4d-8e9f-0123456789b7 ",
    "018f2d3c7a6b7c4d8e9f0123456789bg",
    5,
    None,
    b"018f2d3c7a6b7c4d8e9f0123456789b7",
    ["018f2d3c-7a6b-7c4d-8e9f-0123456789b7"],
]


@pytest.mark.parametrize("run_id", BAD_RUN_IDS, ids=lambda each: f"{each!r:.42}")
def test_a_run_id_that_is_none(valkey: Server, refused: Any, run_id: Any) -> None:
    """What is no UUID is a `ValueError` that says how to make one for other engines."""
    with refused(InvalidRunId, "flow_run_id_for") as refusal:
        send_input(1, run_id)
    assert isinstance(refusal.error, ValueError)
    assert refusal.error.value is run_id
    with refused(InvalidRunId, "flow_run_id_for"):
        bound_run(run_id)
    if run_id is not None:
        with refused(InvalidRunId, "flow_run_id_for"):
            receive_input(int, flow_run_id=run_id)


@pytest.mark.parametrize(
    "run_id",
    [" " + "1" * 31, "+" + "1" * 31, "1_" * 15 + "11", "\uff11" * 32],
    ids=["space", "plus", "underscores", "fullwidth digits"],
)
def test_a_run_id_of_odd_characters(valkey: Server, refused: Any, run_id: str) -> None:
    """Thirty-two characters that Python can read as a number are no run id either."""
    with refused(InvalidRunId, "flow_run_id_for"):
        send_input(1, run_id)


def test_no_run_is_current(valkey: Server, refused: Any) -> None:
    """Outside a run, `receive_input` has to be told which run it reads."""
    with refused(NoCurrentRun, "flow_run_id=") as refusal:
        receive_input(int)
    assert isinstance(refusal.error, LookupError)
    with refused(NoCurrentRun, "bound_run"):
        Note.receive()
    with bound_run(RUN_ID):
        receive_input(int)
    with refused(NoCurrentRun, "bound_run"):
        receive_input(int)


BAD_TEXTS = ["", "\ud800", "x" * 1025, "ü" * 513]


@pytest.mark.parametrize("text", BAD_TEXTS, ids=lambda text: f"{text!r:.12}")
def test_a_key_or_sender_that_cannot_be_stored(valkey: Server, refused: Any, text: str) -> None:
    """An empty, over-long or broken text is no key and no sender."""
    with refused(InvalidArgument, "key=") as refusal:
        send_input(1, RUN_ID, key=text)
    assert isinstance(refusal.error, ValueError)
    assert (refusal.error.argument, refusal.error.value) == ("key", text)
    with refused(InvalidArgument, "sender="):
        send_input(1, RUN_ID, sender=text)
    with refused(InvalidArgument, "sender="):
        Note(text="x").send_to(RUN_ID, sender=text)


@pytest.mark.parametrize("text", BAD_TEXTS, ids=lambda text: f"{text!r:.12}")
def test_a_responder_that_cannot_be_stored(valkey: Server, refused: Any, text: str) -> None:
    """`respond` checks its sender like every other send."""
    Note(text="x").send_to(RUN_ID, sender=uuid4())
    note = Note.receive(flow_run_id=RUN_ID, timeout=0).next()
    with refused(InvalidArgument, "sender="):
        note.respond(1, sender=text)


@pytest.mark.parametrize("key", [5, b"key", uuid4()], ids=lambda key: type(key).__name__)
def test_a_key_of_another_type(valkey: Server, refused: Any, key: Any) -> None:
    """Only a text can be a key."""
    with refused(InvalidArgument, "not a str"):
        send_input(1, RUN_ID, key=key)


@pytest.mark.parametrize("key", ["x" * 1024, "a b\nc", "ü\x00", "=1-1", "* -"], ids=lambda k: k[:9])
def test_a_key_at_the_limits(valkey: Server, key: str) -> None:
    """Any other text is a key, and keeps its send idempotent."""
    first = send_input(1, RUN_ID, key=key)
    assert send_input(1, RUN_ID, key=key).entry_id == first.entry_id
    inbox = receive_input(int, flow_run_id=RUN_ID, timeout=0, with_metadata=True)
    assert inbox.next().metadata.key == key


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan"), float("-inf")])
def test_a_time_that_is_none(valkey: Server, refused: Any, timeout: float) -> None:
    """A negative time, or one that is no number, is told at the call."""
    with refused(ValueError, "timeout") as refusal:
        receive_input(int, flow_run_id=RUN_ID, timeout=timeout)
    assert isinstance(refusal.error, UsageError)
    with refused(ValueError, "poll_interval"):
        receive_input(int, flow_run_id=RUN_ID, poll_interval=timeout)


@pytest.mark.parametrize("timeout", ["5", [5], object()], ids=lambda each: type(each).__name__)
def test_a_time_of_another_type(valkey: Server, refused: Any, timeout: Any) -> None:
    """What is no number of seconds is an error that names the argument."""
    with refused((TypeError, ValueError), "timeout"):
        receive_input(int, flow_run_id=RUN_ID, timeout=timeout)


def test_times_without_end(valkey: Server) -> None:
    """An infinite time is a long one."""
    send_input(1, RUN_ID)
    forever = float("inf")
    inbox = receive_input(int, flow_run_id=RUN_ID, timeout=forever, poll_interval=forever)
    assert inbox.next() == 1


@pytest.mark.parametrize("keys", [5, b"abc", object()], ids=lambda each: type(each).__name__)
def test_exclude_keys_of_another_type(valkey: Server, refused: Any, keys: Any) -> None:
    """What cannot be iterated is no list of keys."""
    with refused(InvalidArgument, "exclude_keys"):
        receive_input(int, flow_run_id=RUN_ID, exclude_keys=keys)


# --- Limits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["x" * 98, b"\xff" * 72, [1] * 50], ids=["str", "bytes", "list"])
def test_a_value_may_be_as_large_as_the_limit(
    server: Server, configure: Configure, refused: Any, value: Any
) -> None:
    """The limit is on the bytes of the JSON; one byte more is refused."""
    size = {str: 100, bytes: 98, list: 101}[type(value)]
    configure(max_input_bytes=size)
    assert send_input(value, RUN_ID).size == size
    configure(max_input_bytes=size - 1)
    with refused(InputTooLarge, "RUNBUS_MAX_INPUT_BYTES") as refusal:
        send_input(value, RUN_ID, key="k")
    error = refusal.error
    assert isinstance(error, ValueError)
    assert (error.flow_run_id, error.key, error.size, error.limit) == (RUN_ID, "k", size, size - 1)
    assert f"{size - 1}" in str(error)


async def test_a_value_that_is_too_large_on_a_loop(
    valkey: Server, configure: Configure, refused: Any
) -> None:
    """The call raises at once, and characters count by their bytes."""
    configure(max_input_bytes=10)
    await send_input("漢字", RUN_ID)
    with refused(InputTooLarge, "keep the value elsewhere"):
        send_input("漢字漢", RUN_ID)


def test_a_stream_is_full_of_unread_inputs(
    server: Server, configure: Configure, refused: Any
) -> None:
    """What was read frees its place: the limit is on what waits unread."""
    configure(max_stream_length=4)
    for number in range(4):
        send_input(number, RUN_ID)
    with refused(StreamFull, "RUNBUS_MAX_STREAM_LENGTH") as refusal:
        send_input(4, RUN_ID, key="five")
    error = refusal.error
    assert (error.flow_run_id, error.key, error.limit) == (RUN_ID, "five", 4)
    assert error.stream.endswith(f"{RUN_ID}:input:int")
    send_input("other streams have room", RUN_ID)
    inbox = receive_input(int, flow_run_id=RUN_ID, timeout=5)
    assert [inbox.next() for _ in range(4)] == [0, 1, 2, 3]
    # The read mark went out before anything that is sent now.
    assert send_input(4, RUN_ID, key="five").entry_id
    assert inbox.next() == 4
    for number in range(5, 50):
        send_input(number, RUN_ID)
        assert inbox.next() == number


async def test_a_full_stream_refuses_what_does_not_fit(
    valkey: Server, configure: Configure
) -> None:
    """Of sends that are under way together, the first fill the stream and the rest are refused."""
    configure(max_stream_length=10)
    sends = [send_input(number, RUN_ID) for number in range(25)]
    outcomes = await asyncio.gather(*sends, return_exceptions=True)
    assert [isinstance(each, StreamFull) for each in outcomes] == [False] * 10 + [True] * 15
    inbox = receive_input(int, flow_run_id=RUN_ID, timeout=0, raise_timeout_error=False)
    assert [number async for number in inbox] == list(range(10))


def test_a_run_is_full(server: Server, configure: Configure, refused: Any) -> None:
    """All inputs of a run share a limit in bytes, and reading does not free it."""
    configure(max_run_bytes=100)
    send_input("x" * 58, RUN_ID)
    send_input(b"x" * 18, RUN_ID)
    with refused(RunFull, "RUNBUS_MAX_RUN_BYTES") as refusal:
        send_input("y" * 13, RUN_ID, key="k")
    error = refusal.error
    assert (error.flow_run_id, error.key, error.limit) == (RUN_ID, "k", 100)
    assert receive_input(str, flow_run_id=RUN_ID, timeout=0).next() == "x" * 58
    with refused(RunFull, "RUNBUS_MAX_RUN_BYTES"):
        send_input("y" * 13, RUN_ID)
    assert send_input("y" * 12, RUN_ID).entry_id
    with refused(RunFull, "RUNBUS_MAX_RUN_BYTES"):
        send_input(b"", RUN_ID)
    assert send_input(1, uuid4()).entry_id


def test_a_refused_first_input_leaves_nothing(
    server: Server, configure: Configure, refused: Any
) -> None:
    """A refused input is the first of its run or stream, and there is no trace of it."""
    configure(max_run_bytes=3)
    with refused(RunFull, "RUNBUS_MAX_RUN_BYTES"):
        send_input("larger", RUN_ID)
    send_input(1, RUN_ID, key="k")
    with refused(KeyInUse, "choose another"):
        send_input(2.0, RUN_ID, key="k")


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "CANCELLED", "CRASHED"])
def test_a_run_has_finished(server: Server, refused: Any, state: str) -> None:
    """A finished run receives nothing more; a key that it has already is still a duplicate."""
    stored = send_input("before", RUN_ID, key="k")
    with server.client() as client:
        client.hset(f"runbus:{{b7}}:{RUN_ID}:run", "state", state)
        client.expire(f"runbus:{{b7}}:{RUN_ID}:run", 600)
        client.hset(f"runbus:{{b7}}:{RUN_ID}:streams", "ended", state)
    with refused(RunFinished, state) as refusal:
        send_input("after", RUN_ID, key="after")
    error = refusal.error
    assert (error.flow_run_id, error.key, error.state) == (RUN_ID, "after", state)
    assert str(RUN_ID) in str(error)
    with refused(RunFinished, state):
        send_input(1, RUN_ID)
    again = send_input("before", RUN_ID, key="k")
    assert (again.duplicate, again.entry_id) == (True, stored.entry_id)


@pytest.mark.parametrize("state", ["RUNNING", "PAUSED", "PENDING", "SCHEDULED"])
def test_a_run_that_goes_on_receives(server: Server, state: str) -> None:
    """In any other state a run receives."""
    with server.client() as client:
        client.hset(f"runbus:{{b7}}:{RUN_ID}:run", "state", state)
        client.expire(f"runbus:{{b7}}:{RUN_ID}:run", 600)
        assert send_input(1, RUN_ID).entry_id
        for key in client.scan_iter(f"*{RUN_ID}*"):  # they live as long as the run does
            client.expire(key, 600)


async def test_too_much_is_unsent(valkey: Server, configure: Configure, refused: Any) -> None:
    """Past the bound on un-awaited bytes the call raises, and awaiting makes room."""
    configure(max_unsent_bytes=100)
    first = send_input("x" * 58, RUN_ID)
    with pytest.raises(TooMuchUnsent, match="await") as raised:
        send_input("y" * 58, RUN_ID, key="k")
    error = raised.value
    assert isinstance(error, RunbusError)
    assert isinstance(error, BufferError)
    assert (error.flow_run_id, error.key) == (RUN_ID, "k")
    assert (error.unsent, error.limit) == (660, 100)
    await first
    await send_input("y" * 58, RUN_ID, key="k")
    inbox = receive_input(str, flow_run_id=RUN_ID, timeout=0, raise_timeout_error=False)
    assert [text[0] async for text in inbox] == ["x", "y"]


async def test_too_much_is_unsent_inside_a_run(valkey: Server, configure: Configure) -> None:
    """A send that was refused at the call is over: the run does not wait for it."""
    configure(max_unsent_bytes=100)
    async with asyncio.timeout(2):
        async with bound_run(uuid4()):
            send_input("x" * 58, RUN_ID)
            with pytest.raises(TooMuchUnsent):
                send_input("y" * 58, RUN_ID)
    inbox = receive_input(str, flow_run_id=RUN_ID, timeout=0, raise_timeout_error=False)
    assert [text[0] async for text in inbox] == ["x"]


async def test_one_value_above_the_bound_is_sent(valkey: Server, configure: Configure) -> None:
    """A single value that is larger than the bound may go alone."""
    configure(max_unsent_bytes=10)
    assert (await send_input("x" * 1000, RUN_ID)).entry_id


def test_in_a_thread_nothing_is_unsent(valkey: Server, configure: Configure) -> None:
    """A thread waits for each send, so the bound does not concern it."""
    configure(max_unsent_bytes=10)
    threads = [
        threading.Thread(target=send_input, args=("x" * 1000, RUN_ID, None, f"thread {number}"))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with valkey.client() as client:
        assert len(list(client.scan_iter(f"*{RUN_ID}:input:*"))) == 8


def test_a_key_in_use(server: Server, refused: Any) -> None:
    """A key names one input of a run, of whatever type."""
    send_input(1, RUN_ID, key="k")
    send_input("other", RUN_ID)
    send_input(1, RUN_ID, key_prefix="ints")
    with refused(KeyInUse, "choose another"):
        send_input("one", RUN_ID, key="k")
    with refused(KeyInUse, "choose another"):
        send_input(1, RUN_ID, key="k", key_prefix="ints")


def test_a_stream_that_is_none(server: Server, refused: Any) -> None:
    """Something else under a stream's name: the server's words are passed on."""
    with server.client() as client:
        client.set(f"runbus:{{b7}}:{RUN_ID}:input:int", "a string", ex=600)
    with refused(ServerRefused, "WRONGTYPE") as refusal:
        send_input(1, RUN_ID)
    assert refusal.error.address == f"{server.host}:{server.port}"
    inbox = receive_input(int, flow_run_id=RUN_ID, timeout=5)
    with refused(ServerRefused, "WRONGTYPE"):
        inbox.next()
    with server.client() as client:
        client.delete(f"runbus:{{b7}}:{RUN_ID}:input:int")
    send_input(2, RUN_ID)
    assert inbox.next() == 2


# --- Settings --------------------------------------------------------------------------------


BAD_URLS = [
    PASSWORD,
    f"http://:{PASSWORD}@localhost",
    f"redis+sentinel://:{PASSWORD}@localhost",
    f"redis://:{PASSWORD}@localhost:99999",
    f"redis://:{PASSWORD}@localhost:port",
    f"redis://:{PASSWORD}@[::1",
    f"redis://:{PASSWORD}#x@localhost",
    f"redis://:{PASSWORD}/x@localhost",
    f"redis://:x/{PASSWORD}@localhost",
    f"redis://:{PASSWORD}@localhost?no_such_option={PASSWORD}",
    f"redis://:{PASSWORD}@localhost?db={PASSWORD}",
    f"redis://:{PASSWORD}@localhost?socket_timeout={PASSWORD}",
    f"redis://localhost?password={PASSWORD}&retry={PASSWORD}",
    f"redis://:{PASSWORD}@localhost?credential_provider={PASSWORD}",
    f"rediss://:{PASSWORD}@localhost?ssl_cert_reqs={PASSWORD}",
]


def shown(error: BaseException, log: pytest.LogCaptureFixture | None = None) -> str:
    """All that an error, what caused it and the log show to whoever looks."""
    parts = [*traceback.format_exception(error), log.text if log else ""]
    seen: BaseException | None = error
    while seen is not None:
        parts += [str(seen), repr(seen), repr(seen.args), repr(getattr(seen, "__notes__", ""))]
        if seen is error:
            parts.append(repr(vars(seen)))
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "\n".join(parts)


@pytest.mark.parametrize("url", BAD_URLS, ids=[str(number) for number in range(len(BAD_URLS))])
def test_a_url_that_is_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    """A wrong `RUNBUS_URL` is told at the first use, in each verb, and never shown."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("RUNBUS_URL", url)

    async def send() -> None:
        await send_input(1, RUN_ID)

    async def receive() -> None:
        await anext(receive_input(int, flow_run_id=RUN_ID, timeout=0))

    attempts: list[Callable[[], Any]] = [
        lambda: send_input(1, RUN_ID),
        lambda: receive_input(int, flow_run_id=RUN_ID, timeout=0).next(),
        lambda: asyncio.run(send()),
        lambda: asyncio.run(receive()),
    ]
    for attempt in attempts:
        with pytest.raises(SettingsError, match="RUNBUS_URL") as raised:
            attempt()
        assert isinstance(raised.value, ValueError)
        assert "redis://" in str(raised.value)
        assert PASSWORD not in shown(raised.value, caplog)


@pytest.mark.parametrize(
    "url",
    [
        *("redis:/127.0.0.1:1", "redis:127.0.0.1:1", "redis://127.0.0.1:1/production"),
        *("redis://127.0.0.1:0/0", "redis+cluster://127.0.0.1:0"),
        *("unix://", "unix://run/redis.sock", "unix://:word@run/redis.sock"),
        # Of these, what stands before the special character is a host and a port.
        f"redis://worker:4711#{PASSWORD}@127.0.0.1/0",
        f"redis://worker:4711?{PASSWORD}@127.0.0.1/0",
        f"redis://worker:4711?{PASSWORD}=x@127.0.0.1/0",
        f"redis+cluster://worker:4711#{PASSWORD}@127.0.0.1",
        f"redis+sentinel://worker:4711/{PASSWORD}@127.0.0.1",
    ],
)
def test_a_url_that_would_mean_something_else(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """A slip in the URL is told, and does not lead to another server or database."""
    monkeypatch.setenv("RUNBUS_URL", url)
    monkeypatch.setenv("RUNBUS_RETRY_SECONDS", "0.05")
    with pytest.raises(SettingsError, match="RUNBUS_URL") as raised:
        send_input(1, RUN_ID)
    assert PASSWORD not in shown(raised.value)


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("redis://localhost/0?max_conections=3", "max_conections"),
        ("redis://localhost/0?ssl_ca_certs=/ca.pem", "redis:// has no option ssl_ca_certs"),
        ("redis://localhost:0/0", "a port"),
        ("redis+cluster://localhost/3", "a cluster has only database 0"),
        ("redis+sentinel://localhost", "/name"),
        ("unix://run/redis.sock", "the whole path"),
    ],
)
def test_the_part_of_a_url_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, url: str, part: str
) -> None:
    """Where it is no secret, the error says which part of the URL is wrong."""
    monkeypatch.setenv("RUNBUS_URL", url)
    with pytest.raises(SettingsError, match=part):
        send_input(1, RUN_ID)


def test_a_wrong_url_inside_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A send that was refused for its settings is over: the run does not wait for it."""
    monkeypatch.setenv("RUNBUS_URL", "http://localhost")

    async def send() -> None:
        async with asyncio.timeout(2), bound_run(RUN_ID):
            with pytest.raises(SettingsError):
                await send_input(1, RUN_ID)

    asyncio.run(send())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RUNBUS_MAX_INPUT_BYTES", "many"),
        ("RUNBUS_MAX_INPUT_BYTES", "-1"),
        ("RUNBUS_RETRY_SECONDS", "0"),
        ("RUNBUS_RETRY_SECONDS", "nan"),
        ("RUNBUS_PREFIX", "a{b}"),
        ("RUNBUS_RETENTION_SECONDS", "week"),
    ],
)
def test_a_setting_that_is_wrong(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A wrong setting is an error that names it, at the first use."""
    monkeypatch.setenv("RUNBUS_URL", f"redis://:{PASSWORD}@localhost")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as raised:
        send_input(1, RUN_ID)
    assert PASSWORD not in shown(raised.value)


# --- Servers that do not let us in -----------------------------------------------------------


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    """A server with a password."""
    with Server.start("valkey", "--requirepass", "right") as server:
        yield server


@pytest.mark.parametrize(
    "user_info", [f":{PASSWORD}@", f"someone:{PASSWORD}@", ""], ids=["password", "user", "none"]
)
def test_a_wrong_password(
    locked: Server, configure: Configure, caplog: pytest.LogCaptureFixture, user_info: str
) -> None:
    """A password that is wrong or missing is told at once; it is shown nowhere."""
    caplog.set_level(logging.DEBUG)
    configure(url=locked.url.replace("//", f"//{user_info}"), retry_seconds=30)

    async def receive() -> None:
        async with asyncio.timeout(5):
            await anext(receive_input(int, flow_run_id=RUN_ID, timeout=None))

    async def send() -> None:
        async with asyncio.timeout(5):
            await send_input(1, RUN_ID)

    attempts: list[Callable[[], Any]] = [
        lambda: send_input(1, RUN_ID),
        lambda: receive_input(int, flow_run_id=RUN_ID, timeout=5).next(),
        lambda: asyncio.run(send()),
        lambda: asyncio.run(receive()),
    ]
    for attempt in attempts:
        with pytest.raises(ServerRefused) as raised:
            attempt()
        assert raised.value.address == f"127.0.0.1:{locked.port}"
        assert raised.value.address in str(raised.value)
        assert PASSWORD not in shown(raised.value, caplog)


def test_a_database_that_is_none(configure: Configure, valkey: Server) -> None:
    """A server that refuses the database is not asked again and again."""
    configure(url=valkey.url.removesuffix("0") + "9999", retry_seconds=30)
    with pytest.raises(ServerRefused, match="DB index"):
        send_input(1, RUN_ID)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:1", "no-such-host.invalid:6379", "a..b:6379"],
    ids=["port", "host", "name"],
)
def test_a_server_that_is_not_there(
    configure: Configure, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    """It is tried for a set time; then the error names the address and never the password."""
    caplog.set_level(logging.DEBUG)
    configure(url=f"redis://user:{PASSWORD}@{address}/0", retry_seconds=0.1)

    async def receive() -> None:
        await anext(receive_input(int, flow_run_id=RUN_ID, timeout=None))

    async def send() -> None:
        await send_input(1, RUN_ID)

    attempts: list[Callable[[], Any]] = [
        lambda: send_input(1, RUN_ID),
        lambda: receive_input(int, flow_run_id=RUN_ID, timeout=5).next(),
        lambda: asyncio.run(send()),
        lambda: asyncio.run(receive()),
    ]
    for attempt in attempts:
        with pytest.raises(ServerUnreachable, match=address.replace(".", r"\.")) as raised:
            attempt()
        assert isinstance(raised.value, ConnectionError)
        assert isinstance(raised.value, RunbusError)
        assert raised.value.address == address
        assert not raised.value.maybe_stored
        assert PASSWORD not in shown(raised.value, caplog)


def test_a_socket_file_that_is_not_there(configure: Configure) -> None:
    """The error for a `unix://` URL names the path."""
    configure(url=f"unix://:{PASSWORD}@/no/such/socket", retry_seconds=0.05)
    with pytest.raises(ServerUnreachable, match="/no/such/socket") as raised:
        send_input(1, RUN_ID)
    assert PASSWORD not in shown(raised.value)


def test_unsent_inputs_are_reported_without_the_password(
    configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    """When a loop ends and its server is not there, the log says so, without the password."""
    caplog.set_level(logging.DEBUG)
    configure(url=f"redis://:{PASSWORD}@127.0.0.1:1/0", retry_seconds=30, reply_timeout_seconds=0.1)

    async def send() -> str:
        return send_input(1, RUN_ID).key

    key = asyncio.run(send())
    assert key in caplog.text
    assert "may not have been stored" in caplog.text
    assert PASSWORD not in caplog.text


def test_a_short_timeout_holds_when_no_server_is_there(configure: Configure) -> None:
    """The longest wait is kept, whether or not the server can be reached."""
    configure(url=NOBODY_LISTENS, retry_seconds=30, reply_timeout_seconds=2)
    started = time.monotonic()
    with pytest.raises((TimeoutError, ServerUnreachable)):
        receive_input(int, flow_run_id=RUN_ID, timeout=0.1).next()
    assert time.monotonic() - started < 2


async def test_an_encode_that_returns_no_bytes(valkey: Server) -> None:
    """A model's own `encode` that returns something else is told, and the stream goes on."""

    class Odd(RunInput):
        text: str

        def encode(self) -> bytes:
            return {"text": self.text} if self.text == "odd" else super().encode()

    first = send_input(Odd(text="even"), RUN_ID)
    with pytest.raises(NotSerializable, match="dict, not bytes"):
        send_input(Odd(text="odd"), RUN_ID)
    await first
    assert (await anext(Odd.receive(flow_run_id=RUN_ID, timeout=5))).text == "even"
