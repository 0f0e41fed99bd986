"""Records: what the hashes of a run and of a pause say, read from the wire."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic_core import from_json, to_json

from runbus.protocol.answers import with_defaults
from runbus.protocol.states import TYPES, State

if TYPE_CHECKING:
    from collections.abc import Mapping

Fields = dict[str, bytes]


@dataclass(frozen=True, kw_only=True)
class FlowRun:
    """A run as it was when it was read."""

    id: UUID
    name: str
    """A friendly name, such as `brave-otter`."""
    flow_name: str
    state: State
    deployment_id: str | None = None
    """The deployment that it belongs to; None when its flow was called directly."""
    parent_run_id: UUID | None = None
    """The run that it was started in."""
    parameters: Mapping[str, Any]
    """What the flow was called with, as plain JSON data."""
    created: datetime
    start_time: datetime | None = None
    end_time: datetime | None = None
    run_count: int = 0
    """How many times the flow's code was begun, retries included."""
    pause: str | None = None
    """The key of the pause that it waits in."""
    retry: int = 0
    """How many times its flow was retried."""
    epoch: int = 0
    """How many times a process took it; who has an older number may not write for it."""
    tags: tuple[str, ...] = ()
    """The words by which it was marked when it was started."""
    losses: int = 0
    """How many processes have died lately while they executed it."""
    is_exact: bool = False
    """Whether its result gives back the very value that its flow returned."""


@dataclass(frozen=True, kw_only=True)
class Pause:
    """A pause as it was when it was read."""

    key: str
    state: str
    """`pending`, `answered`, `refused`, `expired` or `cancelled`."""
    generation: int
    """How often it was asked, from 1; a refused answer is asked for anew."""
    schema: dict[str, Any] | None
    """The JSON Schema of the answer; None when no answer is wanted."""
    description: str | None
    """Markdown, to show above the form."""
    opened: datetime
    deadline: datetime | None
    answered: datetime | None
    by: str | None
    """Who answered, as they said."""
    value: bytes | None
    """The answer's JSON."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A run that somebody has to answer."""

    run: FlowRun
    pause: Pause | None
    """What it asks; None when it was suspended from outside, and only has to be resumed."""


@dataclass(frozen=True, kw_only=True)
class StateChange:
    """A state that a run came into."""

    time: datetime
    state: str
    """The name of the state."""


def read_fields(reply: Mapping[bytes, bytes] | list[bytes]) -> Fields:
    """Return a hash's fields by name, from a RESP3 map or a script's flat list."""
    pairs = (
        reply.items() if not isinstance(reply, list) else zip(reply[::2], reply[1::2], strict=True)
    )
    return {name.decode(): value for name, value in pairs}


def read_flow_run(flow_run_id: UUID, fields: Fields) -> FlowRun | None:
    """Read a run; None where there is none."""
    if "state_name" not in fields:
        return None
    name = fields["state_name"].decode()
    parent = text_in(fields, "parent")
    return FlowRun(
        id=flow_run_id,
        name=text_in(fields, "name") or "",
        flow_name=text_in(fields, "flow") or "",
        state=State(
            name=name,
            type=TYPES[name],
            message=text_in(fields, "message") or "",
            timestamp=time_in(fields, "moved"),
            data=fields.get("result") or None,
        ),
        deployment_id=text_in(fields, "deployment"),
        parent_run_id=UUID(parent) if parent else None,
        parameters=from_json(fields.get("parameters", b"{}")),
        created=time_in(fields, "created") or datetime.fromtimestamp(0, UTC),
        start_time=time_in(fields, "started"),
        end_time=time_in(fields, "ended"),
        run_count=int(fields.get("run_count", b"0")),
        pause=text_in(fields, "pause"),
        retry=int(fields.get("retry", b"0")),
        epoch=int(fields.get("epoch", b"0")),
        tags=tuple(from_json(fields.get("tags", b"[]"))),
        losses=int(fields.get("losses", b"0")),
        is_exact="exact" in fields,
    )


def read_pause(
    key: str, fields: Fields, entry: tuple[bytes, list[bytes]] | None = None
) -> Pause | None:
    """Read a pause; None where there is none.

    `entry` is what stands on the resume stream under the id that the record names. It is the
    answer: without it the record's own word does not count.
    """
    if "state" not in fields:
        return None
    state, schema = fields["state"].decode(), _json(fields, "schema")
    answer = _read_answer(key, fields, entry) if state in {"answered", "refused"} else {}
    if state == "answered" and not answer:
        state = "pending"
    return Pause(
        key=key,
        state=state,
        generation=int(fields["generation"]),
        schema=schema,
        description=text_in(fields, "description"),
        opened=time_in(fields, "opened") or datetime.fromtimestamp(0, UTC),
        deadline=time_in(fields, "deadline"),
        answered=time_in(answer or fields, "answered"),
        by=text_in(answer, "by"),
        value=_filled(schema, answer["value"]) if answer else None,
    )


def _read_answer(key: str, fields: Fields, entry: tuple[bytes, list[bytes]] | None) -> Fields:
    # As `answer.lua` has it. By hand one may leave out which pause it is, and the defaults.
    if entry is None:
        return {}
    entry_id, answer = entry[0], read_fields(entry[1])
    generation = fields["generation"]
    if answer.get("pause", key.encode()) != key.encode():
        return {}
    if answer.get("generation", generation) != generation:
        return {}
    return {"value": b"", **answer, "answered": entry_id.partition(b"-")[0]}


def _filled(schema: dict[str, Any] | None, value: bytes) -> bytes:
    if schema is None:
        return b""
    try:
        return to_json(with_defaults(schema, from_json(value or b"{}")))
    except ValueError:
        return value


def _json(fields: Fields, name: str) -> dict[str, Any] | None:
    return from_json(fields[name]) if fields.get(name) else None


def read_state_change(item: bytes) -> StateChange:
    """Read an item of a run's history."""
    moved, _, state = item.decode().partition(" ")
    return StateChange(time=datetime.fromtimestamp(int(moved) / 1000, UTC), state=state)


def text_in(fields: Fields, name: str) -> str | None:
    """Return a field's text; None where it is empty or missing."""
    return fields[name].decode(errors="replace") if fields.get(name) else None


def time_in(fields: Fields, name: str) -> datetime | None:
    """Return the time in a field of milliseconds; None where it is empty or missing."""
    value = fields.get(name)
    return datetime.fromtimestamp(int(value) / 1000, UTC) if value else None
