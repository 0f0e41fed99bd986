"""Records: what the hashes of a run and of a pause say, read from the wire."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from runbus.protocol.fields import (
    Fields,
    json_in,
    number_in,
    read_fields,
    read_time,
    text_in,
    time_in,
    word_in,
)
from runbus.protocol.ids import read_run_id
from runbus.protocol.states import TYPES, State

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from uuid import UUID

    from runbus.protocol.json_value import JSONObject, JSONValue

_NO_FIELDS: JSONObject = {}
_NO_ITEMS: list[JSONValue] = []


@dataclass(frozen=True, kw_only=True, slots=True)
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
    parameters: Mapping[str, JSONValue]
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
    epoch: str = ""
    """`<n>-<8 hex>`: whose execution it is. Who has another one may not write for the run."""
    owner: str | None = None
    """The process that has it."""
    tags: tuple[str, ...] = ()
    """The words by which it was marked when it was started."""
    crash_count: int = 0
    """How many processes have died lately while they executed it."""
    is_exact: bool = False
    """Whether its result gives back the very value that its flow returned."""

    if TYPE_CHECKING:  # `await run_deployment(…)` is a run too

        def __await__(self) -> Generator[object, None, Self]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """A pause as it was when it was read."""

    key: str
    state: str
    """`pending`, `answered`, `refused`, `expired` or `cancelled`."""
    generation: int
    """How often it was asked, from 1; a refused answer is asked for anew."""
    schema: JSONObject | None
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A run that somebody has to answer."""

    run: FlowRun
    pause: Pause | None
    """What it asks; None when it was suspended from outside, and only has to be resumed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StateChange:
    """A state that a run came into."""

    time: datetime
    state: str
    """The name of the state."""


def read_flow_run(flow_run_id: UUID, fields: Fields) -> FlowRun | None:
    """Read a run; None where there is none, or none in a state that this version knows."""
    name = word_in(fields, "state_name") or ""
    if name not in TYPES:
        return None
    return FlowRun(
        id=flow_run_id,
        name=text_in(fields, "name") or "",
        flow_name=word_in(fields, "flow") or "",
        state=State(
            name=name,
            type=TYPES[name],
            message=text_in(fields, "message") or "",
            timestamp=time_in(fields, "moved"),
            data=fields.get("result") or None,
        ),
        deployment_id=word_in(fields, "deployment"),
        parent_run_id=read_run_id(fields.get("parent", b"")),
        parameters=json_in(fields, "parameters", _NO_FIELDS),
        created=time_in(fields, "created") or datetime.fromtimestamp(0, UTC),
        start_time=time_in(fields, "started"),
        end_time=time_in(fields, "ended"),
        run_count=number_in(fields, "run_count"),
        pause=text_in(fields, "pause"),
        retry=number_in(fields, "retry"),
        epoch=text_in(fields, "epoch") or "",
        owner=word_in(fields, "owner"),
        tags=tuple(map(str, json_in(fields, "tags", _NO_ITEMS))),
        crash_count=number_in(fields, "crashes"),
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
    state, schema = text_in(fields, "state") or "", json_in(fields, "schema", _NO_FIELDS) or None
    answer = _read_answer(key, fields, entry) if state in {"answered", "refused"} else {}
    if state == "answered" and not answer:
        state = "pending"
    return Pause(
        key=key,
        state=state,
        generation=number_in(fields, "generation"),
        schema=schema,
        description=text_in(fields, "description"),
        opened=time_in(fields, "opened") or datetime.fromtimestamp(0, UTC),
        deadline=time_in(fields, "deadline"),
        answered=time_in(answer or fields, "answered"),
        by=text_in(answer, "by"),
        value=answer["value"] if answer else None,
    )


def _read_answer(key: str, fields: Fields, entry: tuple[bytes, list[bytes]] | None) -> Fields:
    # As `answer.lua` has it. By hand one may leave out which pause it is, and the defaults.
    if entry is None:
        return {}
    entry_id, answer = entry[0], read_fields(entry[1])
    generation = fields.get("generation", b"")
    if answer.get("pause", key.encode()) != key.encode():
        return {}
    if answer.get("generation", generation) != generation:
        return {}
    return {"value": b"", **answer, "answered": entry_id.partition(b"-")[0]}


def read_state_change(item: bytes) -> StateChange:
    """Read an item of a run's history."""
    moved, _, state = item.partition(b" ")
    return StateChange(time=read_time(moved), state=state.decode(errors="replace"))
