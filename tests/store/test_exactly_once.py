"""Exactly once and in order, whatever happens to single calls.

Hypothesis decides what the network does: which call of which connection is executed next, which
replies arrive and which are lost, and when a connection ends while its calls are still on their
way, to be executed late. The producer and the script are the real ones, and so is the server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import count, repeat
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hiredis import ReplyError
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.exceptions import ResponseError

from runbus.protocol.keys import Keys
from runbus.settings import read
from runbus.store.connection import script_calls, scripts
from runbus.store.connection.connection import ConnectionLost
from runbus.store.sending import stream_producer
from runbus.store.sending.receipt import Send

if TYPE_CHECKING:
    from redis import Redis
    from servers import Server


class Wire:
    """One connection: calls are executed in order, replies come in order, until it is cut."""

    def __init__(self, may_read_inputs: bool) -> None:
        self.may_read_inputs = may_read_inputs
        self.requests: deque[tuple[Any, Any]] = deque()
        self.replies: deque[tuple[Any, Any]] = deque()
        self.alive = True

    def send(self, command: Any, on_reply: Any) -> None:
        self.requests.append((command, on_reply))

    def cut(self) -> None:
        """Lose all replies. What was requested may still be executed."""
        self.alive = False
        callbacks = [on_reply for _, on_reply in (*self.replies, *self.requests)]
        self.replies.clear()
        for on_reply in callbacks:
            on_reply(ConnectionLost("cut"))


class Network:
    """What a producer sees as its connector: the wires to one server."""

    class server:
        address = "the test"

    def __init__(self, client: Redis) -> None:
        self.client = client
        self.may_read_inputs = True
        self.wires: list[Wire] = []

    @property
    def live(self) -> Any:
        if self.wires and self.wires[-1].alive:
            return self.wires[-1]
        return None

    async def connected(self, after: Exception | None = None) -> Any:
        if self.live is None:
            self.wires.append(Wire(self.may_read_inputs))
        return self.live

    def execute(self, wire: Wire) -> None:
        """Let the server execute the oldest request of a wire."""
        command, on_reply = wire.requests.popleft()
        try:
            reply: Any = self.client.execute_command(*command)
        except ResponseError as error:
            reply = ReplyError(f"NOSCRIPT {error}" if "script" in str(error) else str(error))
        if wire.alive:
            wire.replies.append((reply, on_reply))


class ExactlyOnce(RuleBasedStateMachine):
    """Sends over a network that does its worst."""

    client: Redis
    blind: Redis
    """The client of a user who may not read what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.client.script_flush()  # as every other example finds it
        self.loop = asyncio.new_event_loop()
        self.network = Network(self.client)
        self.run_id: UUID = uuid4()
        self.sent: list[Send] = []
        self.numbers = count()
        self.producer = self.loop.run_until_complete(self.open_producer())
        self.others_send()

    async def open_producer(self) -> stream_producer.StreamProducer:
        keys, run_id = Keys("runbus"), self.run_id
        return stream_producer.StreamProducer(
            self.network,  # pyright: ignore[reportArgumentType]
            read(retry_seconds=3600),
            (
                keys.run(run_id),
                keys.input(run_id, "int"),
                keys.streams(run_id),
                keys.retried(run_id),
            ),
            "int",
            keys.input(run_id, ""),
            None,  # pyright: ignore[reportArgumentType]  (nothing has to be on a disk)
        )

    @initialize(may_read=st.booleans())
    def choose_user(self, may_read: bool) -> None:
        """Send as a user who may look back at what is stored, or who may not."""
        self.network.may_read_inputs = may_read
        self.network.client = self.client if may_read else self.blind

    @rule(inputs=st.integers(1, 3), own_key=st.booleans())
    def send(self, inputs: int, own_key: bool) -> None:
        """Send a few inputs at once."""
        for _ in range(inputs):
            number = next(self.numbers)
            sent = Send(
                flow_run_id=self.run_id,
                stream="int",
                key=f"key-{number}",
                own_key=own_key,
                sender=None,
                value=b"%d" % number,
            )
            self.sent.append(sent)
            self.loop.call_soon(self.producer.add, sent)
        self.settle()

    @precondition(lambda self: any(wire.requests for wire in self.network.wires))
    @rule(data=st.data())
    def execute(self, data: st.DataObject) -> None:
        """Execute the oldest request of any wire, be it cut or not."""
        wires = [wire for wire in self.network.wires if wire.requests]
        self.network.execute(data.draw(st.sampled_from(wires)))

    @precondition(lambda self: self.network.live and self.network.live.replies)
    @rule()
    def deliver(self) -> None:
        """Deliver the oldest reply."""
        reply, on_reply = self.network.live.replies.popleft()
        self.loop.call_soon(on_reply, reply)
        self.settle()

    @precondition(lambda self: self.network.live)
    @rule()
    def cut(self) -> None:
        """End the connection."""
        self.loop.call_soon(self.network.live.cut)
        self.settle()

    @rule()
    def flush_scripts(self) -> None:
        """Let the server forget its scripts."""
        self.client.script_flush()

    @rule()
    def others_send(self) -> None:
        """Let others fill more than a page, so that looking back takes several calls."""
        pipeline = self.client.pipeline(transaction=False)
        for _ in range(101):
            pipeline.xadd(Keys("runbus").input(self.run_id, "int"), {"key": "other", "value": "0"})
        pipeline.execute()

    @invariant()
    def what_is_acknowledged_is_stored(self) -> None:
        """Every receipt of a stored input names its entry."""
        entries = dict(self.entries())
        for sent in self.sent:
            if sent.entry_id is not None:
                assert entries[sent.entry_id] == sent.key

    def teardown(self) -> None:
        """Let everything be executed, first what is newest, and see what is stored."""
        for _ in range(10_000):
            waiting = [wire for wire in self.network.wires if wire.requests]
            if self.network.live and self.network.live.replies:
                self.deliver()
            elif waiting:
                self.network.execute(waiting[-1])
            else:
                break
        assert all(sent.entry_id for sent in self.sent)
        assert [key for _, key in self.entries()] == [sent.key for sent in self.sent]
        self.loop.close()

    def entries(self) -> list[tuple[str, str]]:
        key = Keys("runbus").input(self.run_id, "int")
        entries = [(i.decode(), f[b"key"].decode()) for i, f in self.client.xrange(key)]
        return [(entry_id, key) for entry_id, key in entries if key != "other"]

    def settle(self) -> None:
        """Let the producer take the steps that it can take."""
        for _ in range(12):
            self.loop.run_until_complete(asyncio.sleep(0))


@pytest.mark.long
@pytest.mark.keys_without_lifetime
def test_every_order_of_execution(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every order of attempts, retries, losses and late executions, each is stored once."""
    monkeypatch.setattr(stream_producer, "backoff", lambda: repeat(0.0))
    with server.client(decode_responses=False) as client:
        client.acl_setuser(
            "blind", True, ["+hunter2"], categories=["+@all"], keys=["*"], commands=["-xrevrange"]
        )
        blind = server.client(decode_responses=False, username="blind", password="hunter2")
        machine = type("ExactlyOnceHere", (ExactlyOnce,), {"client": client, "blind": blind})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=60,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        client.acl_deluser("blind")


@pytest.mark.parametrize("between", [0, 99, 100, 350])
def test_the_look_back_takes_as_many_pages_as_it_needs(server: Server, between: int) -> None:
    """A retry finds its input behind what others have stored since."""
    run_id, keys = uuid4(), Keys("runbus")
    with server.client(decode_responses=False) as client:
        sha = client.script_load(scripts.SEND.source)
        first = client.execute_command("EVALSHA", sha, *call(keys, run_id, scan_from=""))
        for _ in range(between):
            client.xadd(keys.input(run_id, "int"), {"key": "other", "value": "0"})
        replies, pages = [b"MORE", b"+"], 0
        while replies[0] == b"MORE":
            retry = call(keys, run_id, scan_from=replies[1].decode())
            replies = client.execute_command("EVALSHA", sha, *retry)
            pages += 1
        assert replies == [b"=" + first[0]]
        assert pages == (between + 1) // 100 + 1
        assert client.xlen(keys.input(run_id, "int")) == between + 1


def call(keys: Keys, run_id: UUID, scan_from: str) -> Any:
    """One attempt to send one input."""
    return script_calls.send(
        run=keys.run(run_id),
        stream=keys.input(run_id, "int"),
        streams=keys.streams(run_id),
        retried=keys.retried(run_id),
        name="int",
        input_base=keys.input(run_id, ""),
        inputs=[("it", "", b"1")],
        mark_all=False,
        max_unread=1000,
        max_bytes=1000,
        lifetime_ms=60_000,
        renew=True,
        scan_from=scan_from,
        scan_to="-",
    )
