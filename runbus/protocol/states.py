"""The states of a run, and which may follow which.

A state has a type, one of Prefect's nine, and a name, which says more: a suspended run has the
type `PAUSED` and the name `Suspended`. Every move is checked against `MOVES` by the script that
makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic_core import from_json

from runbus.errors import NoResult, RunFailed

if TYPE_CHECKING:
    from datetime import datetime

    from runbus.protocol.json_value import JSONValue


class StateType(StrEnum):
    """What a state is, for programs."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    CRASHED = "CRASHED"


TYPES: dict[str, StateType] = {
    **{type_.value.capitalize(): type_ for type_ in StateType},
    "Suspended": StateType.PAUSED,
}
"""The names of states, each with its type."""

FINAL = frozenset({StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED, StateType.CRASHED})
UNATTENDED = ("Pending", "Scheduled", "Suspended")
"""The states in which no process executes the run, so nobody need be asked to end it."""

WAITING = (*UNATTENDED, "Paused")
"""The states in which a run waits: for a worker, for an answer, or for its next retry."""

_ENDED_BY_OTHERS = {"Cancelled", "Crashed"}
MOVES: dict[str, frozenset[str]] = {
    "Scheduled": frozenset({"Running", "Suspended", *_ENDED_BY_OTHERS}),
    "Pending": frozenset({"Scheduled", "Suspended", "Running", "Failed", *_ENDED_BY_OTHERS}),
    "Running": frozenset(
        {
            *("Scheduled", "Pending", "Paused", "Suspended"),
            *("Completed", "Failed", "Cancelling", *_ENDED_BY_OTHERS),
        }
    ),
    "Paused": frozenset(
        {
            *("Scheduled", "Pending", "Running", "Suspended"),
            *("Completed", "Failed", "Cancelling", *_ENDED_BY_OTHERS),
        }
    ),
    "Suspended": frozenset({"Scheduled", "Failed", *_ENDED_BY_OTHERS}),
    "Cancelling": frozenset({"Completed", "Failed", "Cancelled", "Crashed"}),
    "Completed": frozenset(),
    "Failed": frozenset(),
    "Cancelled": frozenset(),
    "Crashed": frozenset(),
}
"""From each state, the states that a run may move to."""


def before(name: str) -> list[str]:
    """Return the states from which a run may move to this one."""
    return sorted(state for state, following in MOVES.items() if name in following)


def diagram() -> str:
    """Return the moves as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    for state, following in MOVES.items():
        lines += [f"    {state} --> {name}" for name in sorted(following)]
        if TYPES[state] in FINAL:
            lines.append(f"    {state} --> [*]")
    return "\n".join(lines)


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """A run's state at one moment."""

    name: str
    """For people: one of `TYPES`."""
    type: StateType
    """For programs."""
    message: str = ""
    """What went wrong, or what is waited for."""
    timestamp: datetime | None = None
    """Since when, by the server's clock."""
    data: bytes | None = None
    """The JSON of what the flow returned, where it can be written as JSON and is not too large."""

    def is_scheduled(self) -> bool:
        """Whether the run waits for its time or for a worker."""
        return self.type is StateType.SCHEDULED

    def is_pending(self) -> bool:
        """Whether a worker has the run and it has not begun."""
        return self.type is StateType.PENDING

    def is_running(self) -> bool:
        """Whether the flow's code runs."""
        return self.type is StateType.RUNNING

    def is_paused(self) -> bool:
        """Whether the run waits for an answer, in its process or outside of it."""
        return self.type is StateType.PAUSED

    def is_completed(self) -> bool:
        """Whether the flow returned."""
        return self.type is StateType.COMPLETED

    def is_failed(self) -> bool:
        """Whether the flow raised an error."""
        return self.type is StateType.FAILED

    def is_crashed(self) -> bool:
        """Whether the run was interrupted by something other than its own code."""
        return self.type is StateType.CRASHED

    def is_cancelled(self) -> bool:
        """Whether the run was cancelled."""
        return self.type is StateType.CANCELLED

    def is_cancelling(self) -> bool:
        """Whether the run is asked to end."""
        return self.type is StateType.CANCELLING

    def is_final(self) -> bool:
        """Whether the run has ended."""
        return self.type in FINAL

    def result(self, raise_on_failure: bool = True) -> JSONValue:
        """Return what the flow returned, as plain JSON data.

        Raises `RunFailed` for a run that ended otherwise (returns it, without
        `raise_on_failure`), and `NoResult` where there is nothing to return.
        """
        if self.is_final() and not self.is_completed():
            error = RunFailed(state=self.name, message=self.message)
            if raise_on_failure:
                raise error
            return error
        if self.data is None:
            raise NoResult(self.name)
        return from_json(self.data)
