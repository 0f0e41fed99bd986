"""When streams are read: nothing is lost, doubled or waited for in vain, whatever comes when.

No server: each step of one (a command executed, a reply or a push that arrives, a timer) is drawn.
More of it, with `RUNBUS_TESTS_MACHINE_EXAMPLES=5000` in the environment.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from simulated_streams import Connection, World

from runbus.protocol.entries import numbers_of
from runbus.store.receiving.followed_position import FollowedPosition, Missed
from runbus.store.receiving.position import LARGEST_PAGE, Position, earliest
from runbus.store.receiving.read_state import (
    CAUGHT_UP,
    TRANSITIONS,
    UNDER_WAY,
    Action,
    Actions,
    Event,
    State,
)
from runbus.store.receiving.stream_consumer import StreamConsumer

EXAMPLES = int(os.environ.get("RUNBUS_TESTS_MACHINE_EXAMPLES", "50"))
KEYS = ("runbus:{00}:a", "runbus:{00}:b")
LONG = 700
"""More entries than fit on the first three pages."""
REPLIES = {
    *(Event.SOME, Event.FULL, Event.BACKLOG, Event.NOTHING, Event.PLACED, Event.STALE),
    *(Event.REFUSED, Event.REDIRECTED, Event.DENIED),
}
ENDS_OF_READS = {*REPLIES, Event.LOST, Event.MOVED, Event.BROUGHT}
SOMETHING_COMES = set(State) - {State.UNKNOWN}
machine_settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=100,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class Receiver:
    """Whom the streams are read for."""

    poll_interval = 10.0

    def __init__(self, world: World) -> None:
        self.bus: Any = world
        self.waits = False
        self.is_polling = False
        self.has_found_nothing = False
        self.errors: list[Exception] = []
        self.streams: list[StreamConsumer[Any]] = []

    def on_read(self, _: object) -> None:
        positions = [stream.position for stream in self.streams]
        if earliest(positions):
            self.waits = self.is_polling = False
        elif self.is_polling and all(each.is_caught_up for each in positions):
            self.waits, self.is_polling, self.has_found_nothing = False, False, True

    def fail(self, _: object, error: Exception) -> None:
        self.errors.append(error)
        self.waits = self.is_polling = False


class Machine(RuleBasedStateMachine):
    """Streams that are received as one while everything happens that may."""

    keys = KEYS

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        for key in self.keys:
            self.world.make(key)
        self.owner = Receiver(self.world)
        self.stored: list[tuple[bytes, bytes]] = []
        self.streams_of: dict[bytes, str] = {}
        self.received: list[tuple[bytes, bytes]] = []
        self.are_lost: set[bytes] = set()
        self.polled: set[bytes] = set()
        self.is_redirected = False
        self.servers = self.world.servers
        self.connect()
        self.open()

    def open(self) -> None:
        for key in self.keys:
            position = Position(key, key, remembers=True)
            self.owner.streams.append(StreamConsumer(self.owner, position))

    def key(self, number: int) -> bytes:
        return self.keys[number % len(self.keys)].encode()

    @property
    def positions(self) -> list[Position]:
        return [stream.position for stream in self.owner.streams]

    # Whoever sends and receives

    @rule(stream=st.integers(0, 1), count=st.sampled_from([1, 1, 1, 3, LONG]))
    def append(self, stream: int, count: int) -> None:
        stored = [self.world.append(self.key(stream)) for _ in range(count)]
        self.stored += stored
        self.streams_of |= {name: self.key(stream).decode() for _, name in stored}

    @precondition(lambda self: self.may_wait())
    @rule()
    def wait(self) -> None:
        self.owner.waits = True
        for stream in self.owner.streams:
            stream.handle(Event.WANTED)

    @precondition(lambda self: self.may_poll())
    @rule()
    def poll(self) -> None:
        self.owner.waits = self.owner.is_polling = True
        self.polled = {name for _, name in self.stored}
        for stream in self.owner.streams:
            stream.poll()

    def may_wait(self) -> bool:
        return not self.owner.waits and earliest(self.positions) is None

    def may_poll(self) -> bool:
        return not self.owner.is_polling and earliest(self.positions) is None

    @precondition(lambda self: self.owner.waits)
    @rule()
    def give_up(self) -> None:
        self.owner.waits = self.owner.is_polling = False

    @precondition(lambda self: earliest(self.positions))
    @rule()
    def take(self) -> None:
        while (position := earliest(self.positions)) is not None:
            entry = position.peek()
            position.advance()
            self.received.append((entry.id.encode(), entry.key.encode()))

    # The servers and what is on its way

    def is_busy(self) -> bool:
        return any(each.live and (each.live.asked or each.live.coming) for each in self.servers)

    @precondition(is_busy)
    @rule(are_replies=st.lists(st.booleans(), min_size=1, max_size=6))
    def go_on(self, are_replies: list[bool]) -> None:
        for is_reply in are_replies:
            for live in [each.live for each in self.servers if each.live]:
                if live.coming and (is_reply or not live.asked):
                    live.arrive()
                elif live.asked:
                    live.execute()

    @precondition(is_busy)
    @rule()
    def come_to_rest(self) -> None:
        for _ in range(20):
            if self.is_busy():
                self.go_on([True])

    @precondition(lambda self: not all(each.live for each in self.servers))
    @rule()
    def connect(self) -> None:
        for server in self.servers:
            if server.live is None:
                server.connect()

    @rule(data=st.data(), what=st.sampled_from(["refuse", "refuse", "move", "silence", "cut"]))
    def disturb(self, data: st.DataObject, what: str) -> None:
        server = self.servers[data.draw(st.integers(0, 1))]
        if what == "refuse":
            errors = ["LOADING", "NOPERM no", "ASK 1 elsewhere", "ASK 1 elsewhere"]
            server.refusals.append(data.draw(st.sampled_from(errors)))
            self.is_redirected |= server.refusals[-1].startswith("ASK")
        elif what == "move":
            self.world.move(self.key(data.draw(st.integers(0, 1))))
            if data.draw(st.booleans()):
                self.world.go_along()
        elif what == "cut":
            server.cut()
        elif server.live is not None:
            server.live.is_silent = True

    @rule(stream=st.integers(0, 1))
    def push_in_vain(self, stream: int) -> None:
        self.world.push(self.key(stream))

    @precondition(lambda self: self.world.timers)
    @rule(number=st.integers(0, 9))
    def run_out(self, number: int) -> None:
        self.world.run_out(number)

    @precondition(lambda self: self.world.tasks)
    @rule()
    def answer_elsewhere(self) -> None:
        self.world.answer_elsewhere()

    # What holds at all times

    @invariant()
    def none_is_doubled(self) -> None:
        names = [name for _, name in self.received]
        assert len(names) == len({*names})

    @invariant()
    def a_poll_finds_what_there_was(self) -> None:
        if self.owner.has_found_nothing:
            self.owner.has_found_nothing = False
            assert self.polled - self.are_lost <= {name for _, name in self.received}

    @invariant()
    def they_are_in_order(self) -> None:
        # Of a stream that is on its way to another server, nobody tells: others may be ahead of it.
        together = [[*self.keys]] if not self.is_redirected else [[key] for key in self.keys]
        for keys in together:
            ids = [numbers_of(i) for i, name in self.received if self.streams_of[name] in keys]
            assert self.are_lost or ids == sorted(ids)

    @invariant()
    def whoever_waits_waits_for_something(self) -> None:
        for stream in self.owner.streams:
            live = stream.tracking.connection.live
            if self.owner.waits and live is not None and not stream.position.unread:
                assert self.comes(stream, live), stream.position.state

    def comes(self, stream: StreamConsumer[Any], live: Any) -> bool:
        state, world = stream.position.state, self.world
        if live.is_silent:  # the heartbeat will find out
            return state in SOMETHING_COMES
        if state in UNDER_WAY:
            return live.has_asked(stream.position.reading)
        if state is State.ARMED:
            return world.is_told(stream.key) or world.owners[stream.key] is not stream.tracking
        if state is State.BLOCKING:
            return world.blocking_read.serves(stream)
        handles = [work for work, _ in world.timers]
        return state is not State.UNKNOWN and (stream.handle in handles or bool(world.tasks))

    @invariant()
    def whoever_waits_is_told(self) -> None:
        assert not (self.owner.waits and earliest(self.positions))
        assert not (self.owner.is_polling and all(each.is_caught_up for each in self.positions))

    def teardown(self) -> None:
        """In the end, who waits gets all that there is."""
        self.settle()
        expected = {name for _, name in self.stored} - self.are_lost
        assert {name for _, name in self.received} >= expected
        self.none_is_doubled()
        self.they_are_in_order()

    def settle(self) -> None:
        for server in self.servers:
            server.refusals.clear()
            if server.live is None or server.live.is_silent:
                server.cut()
                server.connect()
        self.world.go_along()
        for _ in range(1000):
            self.take()
            if self.may_wait():
                self.wait()
            if not self.goes_on():
                return
        raise AssertionError("it never comes to rest")

    def goes_on(self) -> bool:
        world = self.world
        for is_going, work in (
            (self.is_busy(), lambda: self.go_on([True])),
            (world.tasks, world.answer_elsewhere),
            (world.blocking_read.stream, world.unblock),
            (world.timers, lambda: world.run_out(0)),
        ):
            if is_going:
                work()
                return True
        return False


class OneStream(Machine):
    """One stream, which a blocking read may serve, and a failover may shorten."""

    keys = KEYS[:1]

    @precondition(lambda self: self.may_wait() and self.world.blocking_read.stream is None)
    @rule()
    def wait_in_a_conversation(self) -> None:
        self.owner.waits = True
        (stream,) = self.owner.streams
        blocking = self.world.blocking_read
        blocking.stream, blocking.read = stream, stream.position.blocking_read(1000)
        stream.handle(Event.BLOCKED)

    @precondition(lambda self: self.world.blocking_read.stream)
    @rule()
    def unblock(self) -> None:
        self.world.unblock()

    @rule(count=st.integers(1, 3))
    def fail_over(self, count: int) -> None:
        entries = self.world.streams[self.key(0)]
        self.are_lost |= {fields[1] for _, fields in entries[-count:]}
        del entries[-count:]
        for server in self.world.servers:
            server.cut()


class Followed(Machine):
    """Streams that are followed, each by itself, and trimmed: what may have been missed is told."""

    def open(self) -> None:
        self.missed: dict[StreamConsumer[Any], Missed | None] = {}
        self.told: set[StreamConsumer[Any]] = set()
        self.owner.waits = True
        self.owner.on_read = self.note  # pyright: ignore[reportAttributeAccessIssue]
        self.owner.fail = self.fail  # pyright: ignore[reportAttributeAccessIssue]
        for key in self.keys:
            stream = StreamConsumer(self.owner, FollowedPosition(key, key, None))
            self.owner.streams.append(stream)
            stream.handle(Event.WANTED)

    def note(self, stream: StreamConsumer[FollowedPosition]) -> None:
        self.told.add(stream)
        self.missed[stream] = stream.position.take_missed() or self.missed.get(stream)

    def fail(self, _: object, error: Exception) -> None:
        self.owner.errors.append(error)

    @rule(stream=st.integers(0, 1))
    def trim(self, stream: int) -> None:
        del self.world.streams[self.key(stream)][:-LARGEST_PAGE]  # so many are always kept

    @precondition(lambda self: any(each.unread for each in self.positions))
    @rule()
    def take(self) -> None:
        for stream in self.owner.streams:
            while stream.position.unread:
                entry_id, fields = stream.position.unread[-1]
                self.received.append((entry_id, fields[1]))
                stream.position.advance()
            self.told.discard(stream)
            stream.handle(Event.WANTED)

    def may_wait(self) -> bool:
        return False  # it waits for ever

    may_poll = may_wait

    @precondition(lambda self: False)
    @rule()
    def give_up(self) -> None:
        """It reads until it is closed."""

    @invariant()
    def whoever_waits_is_told(self) -> None:
        """A follower waits for all of its streams, one by one."""
        assert all(each in self.told for each in self.owner.streams if each.position.unread)

    @invariant()
    def they_are_in_order(self) -> None:
        for key in self.keys:
            ids = [entry_id for entry_id, name in self.received if self.streams_of[name] == key]
            assert ids == sorted(ids, key=numbers_of)

    def teardown(self) -> None:
        """All of it came, but for what came before the last time that something was missed."""
        self.settle()
        self.none_is_doubled()
        received = {name for _, name in self.received}
        for stream in self.owner.streams:
            if self.missed.get(stream) is not Missed.BETWEEN:
                own = [n for _, n in self.stored if self.streams_of[n] == stream.position.name]
                came = [name in received for name in own]
                # None before the beginning, and all after.
                assert came == sorted(came)


for each in (Machine, OneStream, Followed):
    each.TestCase.settings = machine_settings
TestTwoStreams = Machine.TestCase
TestOneStream = OneStream.TestCase
TestFollowed = Followed.TestCase


def step(state: State, event: Event) -> tuple[State, Actions]:
    """Return what an event leads to when somebody waits and has nothing at hand."""
    position = Position(KEYS[0], KEYS[0])
    position.state = state
    actions = position.handle(event, lambda: True)
    return position.state, actions


def test_replies_are_taken_while_one_reads_and_at_no_other_time() -> None:
    """The table has each reply in the states of reading; else only for what is read elsewhere."""
    for state in UNDER_WAY:
        assert TRANSITIONS[state].keys() >= REPLIES
    for state in set(State) - {*UNDER_WAY, State.ELSEWHERE}:
        assert not REPLIES & TRANSITIONS[state].keys()


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_who_waits_is_never_left_without_anything_to_come(state: State, event: Event) -> None:
    """After each event, something comes; and what comes is begun when its state is entered."""
    after, actions = step(state, event)
    assert after is not State.UNKNOWN or state is State.UNKNOWN
    if after in UNDER_WAY and state not in UNDER_WAY:
        assert Action.READ in actions
    if after is State.RESTING is not state:
        assert {Action.HOLD, Action.RETRY, Action.REST} & {*actions}
    if after is State.ELSEWHERE is not state:
        assert Action.ASK_ELSEWHERE in actions


@pytest.mark.parametrize("event", [each for each in Event if each not in ENDS_OF_READS])
def test_a_read_under_way_is_enough(event: Event) -> None:
    """Whatever happens meanwhile, no other is begun before its reply or the connection's end."""
    assert step(State.READING, event)[1] == ()


@pytest.mark.parametrize("event", [Event.SOME, Event.FULL, Event.BACKLOG, Event.PLACED])
@pytest.mark.parametrize("state", [*UNDER_WAY, State.ELSEWHERE])
def test_what_comes_is_told(state: State, event: Event) -> None:
    """Entries and places; and that there is nothing, unless that may be too old."""
    assert Action.TELL in step(state, event)[1]
    assert (Action.TELL in step(state, Event.NOTHING)[1]) is (state is not State.READING_AGAIN)


def test_a_question_asked_meanwhile_is_read_for() -> None:
    """What is under way may have been read before, and then finds nothing."""
    for state in UNDER_WAY:
        assert step(state, Event.POLLED) == (State.READING_AGAIN, ())
    assert step(State.READING_AGAIN, Event.NOTHING) == (State.READING, (Action.READ,))
    assert step(State.ELSEWHERE, Event.POLLED) == (State.READING, (Action.READ,))


@pytest.mark.parametrize("state", [State.UNKNOWN, State.ARMED, State.BLOCKING, State.POLLING])
def test_what_is_to_be_looked_for_later_is_not_read_at_once(state: State) -> None:
    """A timer has it looked."""
    assert step(state, Event.CHANGED_SOON) == (State.RESTING, (Action.HOLD,))


def test_what_a_blocking_read_brings_is_not_read_as_well() -> None:
    """Unless somebody waits for whom it may not end in time, or when it is over."""
    for state in (State.UNKNOWN, State.RESTING):
        assert step(state, Event.BLOCKED) == (State.BLOCKING, ())
    for event in (Event.WANTED, Event.UNBLOCKED):
        assert step(State.BLOCKING, event) == (State.READING, (Action.READ,))


@pytest.mark.parametrize("state", CAUGHT_UP)
def test_nothing_is_read_while_nothing_has_changed(state: State) -> None:
    """Neither by who begins to wait, nor when a blocking read or an earlier timer ends."""
    for event in (Event.WANTED, Event.BLOCKED, Event.UNBLOCKED):
        assert step(state, event) == (state, ())
    assert step(State.ARMED, Event.RESTED) == (State.ARMED, ())


def test_a_push_costs_one_read() -> None:
    """Entries that come one by one are read once each; a burst is read together."""
    world = World()
    world.make(KEYS[0])
    world.servers[0].connect()
    owner = Receiver(world)
    stream = StreamConsumer(owner, Position(KEYS[0], KEYS[0], remembers=True))
    owner.streams.append(stream)
    reads = 0
    for burst in (1, 1, 5, 1):
        owner.waits = True
        stream.handle(Event.WANTED)
        for _ in range(burst):
            world.append(stream.key)
        live = stream.tracking.connection.live
        assert isinstance(live, Connection)
        while live.asked or live.coming:
            reads += len(live.asked)
            if live.coming:
                live.arrive()
            else:
                live.execute()
        assert len(stream.position.unread) == burst
        stream.position.unread.clear()
    assert reads == 4
