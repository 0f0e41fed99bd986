"""When a stream is read: the states of reading it, what may happen, and what is done about it.

Who waits for entries must never wait for nothing. So whoever waits with nothing at hand is in a
state in which something comes for certain: the reply to a read (`READING`, `READING_AGAIN`), a push
of the server (`ARMED`), the end of a blocking read (`BLOCKING`), or a timer (`RESTING`,
`ELSEWHERE`, `POLLING`). In `UNKNOWN` nothing comes, and so it is left at once, by a read
(`Position.handle`).
Without a connection nothing can be read, and its coming is told as a change.

Nothing is read twice without need: what a read under way will see anyway (a push before its reply
tells of a change that the read sees, as the server keeps their order) begins no other.
"""

from __future__ import annotations

from enum import Enum, auto


class State(Enum):
    """What is known of the entries past the last one that was read."""

    __hash__ = object.__hash__  # each is itself; by its name, a look-up would take twice as long

    UNKNOWN = auto()
    """There may be some."""
    READING = auto()
    """A read is on its way."""
    READING_AGAIN = auto()
    """A read is on its way that may be older than a question asked meanwhile."""
    ARMED = auto()
    """There were none at the last read, and the server tells when that changes."""
    BLOCKING = auto()
    """There may be some, and a blocking read brings them, or ends within a second."""
    RESTING = auto()
    """There may be some, and a timer has it looked."""
    ELSEWHERE = auto()
    """The stream is on its way to another server. It is asked for there; then a timer runs."""
    POLLING = auto()
    """There were none elsewhere, where nobody tells of changes. A timer has it looked again.

    Meanwhile entries of other streams are handed out, though older ones may have come here: else a
    receiver of several streams would stand still for as long as a slot is on its way.
    """


class Event(Enum):
    """What happens to a stream that is read."""

    __hash__ = object.__hash__

    # Whoever receives
    WANTED = auto()
    """Somebody waits for entries, or has taken the last that was at hand."""
    POLLED = auto()
    """Somebody wants to know what there is by now."""
    BLOCKED = auto()
    """Somebody waits, and a blocking read is sure to end in time."""
    # The server
    CHANGED = auto()
    """The stream may have changed: there was a push, or there is a new connection."""
    CHANGED_SOON = auto()
    """The same, but what came is to be looked for a little later."""
    LOST = auto()
    """The connection is gone, and with it what the server was to tell."""
    MOVED = auto()
    """Another server has the stream now."""
    # The replies to a read, which come in the states of reading alone, or from elsewhere
    SOME = auto()
    """All the entries that there were."""
    FULL = auto()
    """A full page: there may be more."""
    BACKLOG = auto()
    """A full page, and those before it have been handed out: the next one is asked for at once."""
    NOTHING = auto()
    """No entries, or none that were not seen before."""
    PLACED = auto()
    """Where the stream is to be read from."""
    STALE = auto()
    """What follows a place that is not the last one any more."""
    REFUSED = auto()
    """The server cannot answer for now."""
    REDIRECTED = auto()
    """The server sends this one question elsewhere (`ASK`): the stream is on its way."""
    DENIED = auto()
    """The server does not answer this: who waits has been told."""
    # The blocking read
    BROUGHT = auto()
    """It brought entries."""
    UNBLOCKED = auto()
    """It is over."""
    # The timer
    RESTED = auto()
    """It has run out."""


class Action(Enum):
    """What is to be done."""

    READ = auto()
    """Ask for what comes next, on the connection that tracks."""
    TELL = auto()
    """Tell the owner what is known now."""
    HOLD = auto()
    """Look soon: a timer of milliseconds."""
    RETRY = auto()
    """Try again: a timer of a fifth of a second."""
    REST = auto()
    """Leave the server alone: a timer of a second."""
    ASK_ELSEWHERE = auto()
    """Ask for what comes next wherever the stream is, then set a timer as for `RETRY`."""


Actions = tuple[Action, ...]
Transitions = dict[Event, tuple[State, Actions]]

_LEFT: Transitions = {Event.LOST: (State.UNKNOWN, ()), Event.MOVED: (State.UNKNOWN, ())}
_READING: Transitions = {
    **_LEFT,
    Event.POLLED: (State.READING_AGAIN, ()),
    Event.SOME: (State.ARMED, (Action.TELL,)),
    Event.FULL: (State.UNKNOWN, (Action.TELL,)),
    Event.BACKLOG: (State.READING, (Action.READ, Action.TELL)),
    Event.NOTHING: (State.ARMED, (Action.TELL,)),
    Event.PLACED: (State.READING, (Action.READ, Action.TELL)),
    Event.STALE: (State.UNKNOWN, ()),
    Event.REFUSED: (State.RESTING, (Action.RETRY,)),
    Event.REDIRECTED: (State.ELSEWHERE, (Action.ASK_ELSEWHERE,)),
    Event.DENIED: (State.RESTING, (Action.REST,)),
    Event.BROUGHT: (State.READING, (Action.TELL,)),
}
_KNOWN_EMPTY: Transitions = {
    **_LEFT,
    Event.POLLED: (State.UNKNOWN, ()),
    Event.CHANGED: (State.UNKNOWN, ()),
    Event.CHANGED_SOON: (State.RESTING, (Action.HOLD,)),
    # The push of the same change has come or will; it then finds the stream read.
    Event.BROUGHT: (State.UNKNOWN, (Action.TELL,)),
}

TRANSITIONS: dict[State, Transitions] = {
    State.UNKNOWN: {
        Event.BLOCKED: (State.BLOCKING, ()),
        Event.CHANGED_SOON: (State.RESTING, (Action.HOLD,)),
        Event.BROUGHT: (State.UNKNOWN, (Action.TELL,)),
    },
    State.READING: _READING,
    State.READING_AGAIN: {**_READING, Event.NOTHING: (State.UNKNOWN, ())},
    State.ARMED: _KNOWN_EMPTY,
    State.BLOCKING: {
        # Somebody waits for whom it may not end in time.
        Event.WANTED: (State.UNKNOWN, ()),
        Event.POLLED: (State.UNKNOWN, ()),
        Event.CHANGED: (State.UNKNOWN, ()),
        Event.CHANGED_SOON: (State.RESTING, (Action.HOLD,)),
        Event.MOVED: (State.UNKNOWN, ()),
        Event.BROUGHT: (State.UNKNOWN, (Action.TELL,)),
        Event.UNBLOCKED: (State.UNKNOWN, ()),
    },
    State.RESTING: {
        **_LEFT,
        Event.WANTED: (State.UNKNOWN, ()),
        Event.POLLED: (State.UNKNOWN, ()),
        Event.BLOCKED: (State.BLOCKING, ()),
        Event.CHANGED: (State.UNKNOWN, ()),
        Event.BROUGHT: (State.UNKNOWN, (Action.TELL,)),
        Event.UNBLOCKED: (State.UNKNOWN, ()),
        Event.RESTED: (State.UNKNOWN, ()),
    },
    State.ELSEWHERE: {
        **_LEFT,
        Event.POLLED: (State.UNKNOWN, ()),
        Event.SOME: (State.ELSEWHERE, (Action.TELL,)),
        Event.FULL: (State.ELSEWHERE, (Action.TELL,)),
        Event.BACKLOG: (State.ELSEWHERE, (Action.TELL,)),
        Event.NOTHING: (State.POLLING, (Action.TELL,)),
        Event.PLACED: (State.ELSEWHERE, (Action.TELL,)),
        Event.BROUGHT: (State.ELSEWHERE, (Action.TELL,)),
        Event.RESTED: (State.UNKNOWN, ()),
    },
    State.POLLING: {**_KNOWN_EMPTY, Event.RESTED: (State.UNKNOWN, ())},
}
"""What each event leads to, and what is done. One that is not there changes nothing."""

CAUGHT_UP = (State.ARMED, State.POLLING)
"""In these there were no more entries when it was looked last."""
UNDER_WAY = (State.READING, State.READING_AGAIN)
