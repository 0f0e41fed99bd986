"""Opening a pause: a question is asked, asked anew, or found as an earlier execution left it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from runbus.errors import (
    CannotPause,
    FlowPauseTimeout,
    FlowRunCancelled,
    PauseChanged,
    RunLost,
)
from runbus.protocol.keys import tag
from runbus.store.connection import script_calls, scripts

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from runbus.store.bus import Bus
    from runbus.store.connection.reply import Reply


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a pause asks for."""

    schema: bytes = b""
    """The JSON Schema of the answer, as JSON; empty when no answer is wanted."""
    shape: str = ""
    """Is the same for forms that differ in texts and defaults alone."""
    description: str = ""
    """Markdown, to show above the form."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A pause that the flow has met."""

    key: str
    generation: int
    epoch: str
    """Of the execution that met it."""
    is_answered: bool
    """Whether an earlier execution got the answer; otherwise it is to be waited for."""
    seconds_left: float | None = None
    """Until the deadline; None without one."""
    after: bytes = b"0-0"
    """The last entry of the resume stream that came before the question."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """An answer that the flow does not take."""

    generation: int
    problems: bytes
    """What is wrong with it, as JSON: a list of `{"loc": […], "message": "…"}`."""
    veiled: bytes
    """The names of its secrets, as JSON."""


async def open_pause(
    bus: Bus,
    flow_run_id: UUID,
    key: str,
    form: Form,
    *,
    timeout: float | None,
    retry: int,
    epoch: str,
    state: Literal["Paused", "Suspended"] = "Paused",
    waits_in: Callable[[str], bool] = lambda _: False,
    waits: bool = False,
    refused: Refused | None = None,
) -> Opened:
    """Open a pause, or find it again; the run moves to `state` unless it was answered.

    `waits_in` tells whether this execution waits in a pause, by its key: one in which it does not
    gives way. `waits` tells whether it waits in this very one already. `refused` is the answer that
    does not fit this form: the question is asked again.

    Raises `FlowPauseTimeout` when it expired in this very retry of the flow, `CannotPause`,
    `PauseChanged`; `RunLost`, also of a run whose record a failover has lost; `FlowRunCancelled` in
    a run that is to end.
    """
    keys, of_tag, instead_of = bus.keys, tag(flow_run_id), b""
    while True:
        call = script_calls.open_pause(
            run=keys.run(flow_run_id),
            history=keys.history(flow_run_id),
            streams=keys.streams(flow_run_id),
            pause=keys.pause(flow_run_id, key),
            pending=keys.pending(of_tag),
            executing=keys.executing(of_tag),
            events=keys.events(of_tag),
            resume=keys.resume(flow_run_id),
            ends=keys.ends(flow_run_id),
            run_id=flow_run_id,
            pause_key=key,
            pause_base=keys.pause(flow_run_id, ""),
            lifetime_ms=bus.lifetime_ms,
            schema=form.schema,
            shape=form.shape,
            description=form.description,
            timeout_ms=None if timeout is None else int(timeout * 1000),
            retry=retry,
            to=state,
            epoch=epoch,
            call_id=secrets.token_hex(8),
            instead_of=instead_of,
            waits=waits,
            refused=refused and refused.generation,
            problems=refused.problems if refused else b"",
            veiled=refused.veiled if refused else b"",
        )
        reply = await bus.commands.script(scripts.OPEN_PAUSE, call)
        if reply[0] != b"BUSY" or waits_in(reply[1].decode()):
            return _opened(flow_run_id, key, epoch, reply)
        instead_of = reply[1]  # of an earlier execution, or a failover has lost its end


def _opened(flow_run_id: UUID, key: str, epoch: str, reply: list[Reply]) -> Opened:
    match reply:
        case [b"PENDING", generation, left, after]:
            return Opened(
                key=key,
                generation=generation,
                epoch=epoch,
                is_answered=False,
                seconds_left=None if left == b"" else int(left) / 1000,
                after=after,
            )
        case [b"ANSWERED", generation]:
            return Opened(key=key, generation=generation, epoch=epoch, is_answered=True)
        case _:
            raise _not_opened(flow_run_id, key, reply)


def _not_opened(flow_run_id: UUID, key: str, reply: list[Reply]) -> BaseException:
    errors: dict[bytes, BaseException] = {
        b"LOST": RunLost(flow_run_id),
        b"EXPIRED": FlowPauseTimeout(flow_run_id=flow_run_id, key=key),
        b"CHANGED": PauseChanged(flow_run_id=flow_run_id, key=key),
        b"MISSING": RunLost(flow_run_id),
    }
    match reply:
        case [b"BUSY", other]:
            return CannotPause(
                f"flow run {flow_run_id} waits in pause {other.decode()!r} already: a run has one "
                "pause at a time, so let one end before the next begins."
            )
        case [b"STATE", b"Cancelling" | b"Cancelled"]:
            return FlowRunCancelled(flow_run_id)
        case [b"STATE", found]:
            return CannotPause(f"flow run {flow_run_id} is {found.decode()} and cannot pause.")
        case _:
            return errors[reply[0]]


async def refuse(bus: Bus, flow_run_id: UUID, opened: Opened, refused: Refused) -> None:
    """Note that the flow does not take the answer, so that the next pause asks anew.

    Raises `RunLost`.
    """
    call = script_calls.refuse_answer(
        run=bus.keys.run(flow_run_id),
        pause=bus.keys.pause(flow_run_id, opened.key),
        generation=refused.generation,
        epoch=opened.epoch,
        problems=refused.problems,
        veiled=refused.veiled,
    )
    if await bus.commands.script(scripts.REFUSE_ANSWER, call) < 0:
        raise RunLost(flow_run_id)
