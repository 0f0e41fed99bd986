"""What the JSON API takes and gives."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Self
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from runbus.protocol.json_value import JSONObject, JSONValue
from runbus.protocol.states import TYPES
from runbus.protocol.values import read_json

if TYPE_CHECKING:
    from runbus.protocol.deployment_info import DeploymentInfo
    from runbus.protocol.log_line import LogLine
    from runbus.protocol.records import FlowRun, Pause
    from runbus.protocol.stored_input import StoredInput

StateName = Annotated[str, Field(pattern=f"^({'|'.join(TYPES)})$")]
ENTRY_ID = r"^[0-9]{1,19}-[0-9]{1,19}$"
EntryId = Annotated[str | None, Query(pattern=ENTRY_ID)]
_Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Problem(BaseModel):
    """Why a request was not done."""

    problem: str
    fields: dict[str, str] | None = None
    by: str | None = None
    when: datetime | None = None
    answer: JSONValue = None
    """The answer that stands."""


class RunOut(BaseModel):
    """A run."""

    id: UUID
    name: str
    flow: str
    deployment: str | None
    parent: UUID | None
    state: str
    state_type: str
    message: str
    since: datetime | None
    created: datetime
    started: datetime | None
    ended: datetime | None
    parameters: JSONObject
    result: JSONValue = None
    """What the flow returned, where it has."""

    @classmethod
    def of(cls, run: FlowRun) -> Self:
        """Make it from a run's record."""
        state = run.state
        return cls(
            id=run.id,
            name=run.name,
            flow=run.flow_name,
            deployment=run.deployment_id,
            parent=run.parent_run_id,
            state=state.name,
            state_type=state.type.value,
            message=state.message,
            since=state.timestamp,
            created=run.created,
            started=run.start_time,
            ended=run.end_time,
            parameters=dict(run.parameters),
            result=read_json(state.data),
        )


class ProblemOut(BaseModel):
    """What was wrong in one place of an answer."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    loc: list[str | int]
    """The keys and indexes that lead to it; empty for the answer as a whole."""
    message: str


class PauseOut(BaseModel):
    """A pause: what is asked, and what was answered."""

    model_config = ConfigDict(populate_by_name=True, use_attribute_docstrings=True)

    key: str
    state: str
    generation: int
    form: JSONObject | None
    """The JSON Schema of the answer; null when the run only waits to be resumed."""
    description: str | None
    opened: datetime
    deadline: datetime | None
    answered: datetime | None
    by: str | None
    answer: JSONValue = None
    problems: list[ProblemOut] = Field(default_factory=list[ProblemOut])
    """What the flow found wrong with the last answer."""
    former: JSONValue = None
    """The last answer of a question that is asked again, without its secrets."""

    @classmethod
    def of(cls, pause: Pause) -> Self:
        """Make it from a pause's record."""
        return cls(
            key=pause.key,
            state=pause.state,
            generation=pause.generation,
            form=pause.schema,
            description=pause.description,
            opened=pause.opened,
            deadline=pause.deadline,
            answered=pause.answered,
            by=pause.by,
            answer=read_json(pause.value),
            problems=[ProblemOut(loc=list(e.loc), message=e.message) for e in pause.problems],
            former=read_json(pause.former),
        )


class WaitingOut(BaseModel):
    """A run that waits, and its pause."""

    run: RunOut
    pause: PauseOut | None
    """Null for a run that was suspended from outside, and only has to be told to go on."""


class LogLineOut(BaseModel):
    """A line of a run's log."""

    id: str
    time: datetime
    level: str
    message: str

    @classmethod
    def of(cls, line: LogLine) -> Self:
        """Make it from a log line's record."""
        return cls(id=line.id, time=line.time, level=line.level, message=line.message)


class InputOut(BaseModel):
    """An input on one of a run's streams."""

    id: str
    stream: str
    time: datetime
    key: str | None
    sender: str | None
    value: JSONValue

    @classmethod
    def of(cls, stored: StoredInput) -> Self:
        """Make it from an input's record."""
        return cls(
            id=stored.id,
            stream=stored.stream,
            time=stored.time,
            key=stored.key,
            sender=stored.sender,
            value=read_json(stored.value),
        )


class DeploymentOut(BaseModel):
    """A deployment."""

    name: str
    flow: str
    description: str | None
    parameters: JSONObject
    """The JSON Schema of the flow's parameters."""
    workers: int | None

    @classmethod
    def of(cls, found: DeploymentInfo) -> Self:
        """Make it from a deployment's record."""
        return cls(
            name=found.name,
            flow=found.flow_name,
            description=found.description,
            parameters=dict(found.parameters),
            workers=found.workers,
        )


class AnswerIn(BaseModel):
    """An answer: a value for each field; `{"value": …}` where one value is asked for."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    answer: JSONObject = Field(default_factory=JSONObject)
    pause: str | None = None
    """The key of the pause that was read; the answer is for no other then."""
    generation: int | None = None
    """And its generation."""


class InputIn(BaseModel):
    """An input: its stream is named like the type that the run receives, such as `str`."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    stream: _Line
    value: JSONValue
    key: _Line | None = None
    """Stored once, however often it is sent with this key."""


class StartIn(BaseModel):
    """A run to start."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    parameters: JSONObject = Field(default_factory=JSONObject)
    name: _Line | None = None
    idempotency_key: _Line | None = None
    """The same key gives the same run, until RUNBUS_RETENTION_SECONDS after its end; then it starts
    another run."""
