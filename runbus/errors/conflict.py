"""Somebody was first, or the state has moved on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.errors.base import ConflictError

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


class NotPaused(ConflictError):
    """A run does not wait for an answer."""

    def __init__(self, *, flow_run_id: UUID, state: str) -> None:
        self.flow_run_id = flow_run_id
        self.state = state
        super().__init__(f"flow run {flow_run_id} is {state} and waits for no answer.")


class OwnerGone(NotPaused):
    """The process of a run that was called directly has ended: nobody waits for the answer."""

    def __init__(self, *, flow_run_id: UUID, state: str) -> None:
        super().__init__(flow_run_id=flow_run_id, state=state)
        self.args = (
            f"flow run {flow_run_id} is {state}: its process ended, and nobody waits for the "
            "answer. It was not stored.",
        )


class QuestionChanged(NotPaused):
    """A question was asked again since it was read: its form is another, or an answer was refused.

    The run waits, for an answer to the question as it is asked now.
    """

    def __init__(self, *, flow_run_id: UUID, key: str) -> None:
        super().__init__(flow_run_id=flow_run_id, state="past that question")
        self.key = key
        self.args = (
            f"flow run {flow_run_id} is past that question: it has changed, or an answer to it was "
            f"refused, and pause {key!r} is asked again. Read it once more (`read_pause`), and "
            "answer that one. This answer was not stored.",
        )


class AlreadyAnswered(ConflictError):
    """Somebody else's answer was first; it stands."""

    def __init__(
        self,
        *,
        flow_run_id: UUID,
        key: str,
        by: str | None,
        when: datetime | None,
        value: bytes | None = None,
    ) -> None:
        self.flow_run_id = flow_run_id
        self.key = key
        self.by = by
        self.when = when
        self.value = value
        """The JSON of the answer that stands."""
        who = by or "somebody"
        at = f" at {when:%Y-%m-%d %H:%M:%S} UTC" if when else ""
        super().__init__(
            f"pause {key!r} of flow run {flow_run_id} was answered by {who}{at}: this answer was "
            "not stored."
        )


class OwnerSilent(ConflictError):
    """The process that waits for an answer says nothing, and it is not known yet whether it lives.

    Nothing was changed. After `retry_seconds` the same call may know more; after the lease time
    (`RUNBUS_LEASE_SECONDS`) of such calls the run has crashed, or its process has come back.
    """

    def __init__(
        self,
        *,
        flow_run_id: UUID,
        retry_seconds: float,
        key: str = "",
        generation: int | None = None,
    ) -> None:
        self.flow_run_id = flow_run_id
        self.retry_seconds = retry_seconds
        self.key = key
        """The pause that was to be answered."""
        self.generation = generation
        super().__init__(
            f"the process of flow run {flow_run_id} says nothing, so maybe nobody waits for the "
            f"answer any more. Try again in {retry_seconds:.3g} s: until it is known, nothing is "
            "changed."
        )


class AlreadyEnded(ConflictError):
    """A run has ended, and can neither be cancelled nor go on."""

    def __init__(self, *, flow_run_id: UUID, state: str) -> None:
        self.flow_run_id = flow_run_id
        self.state = state
        super().__init__(f"flow run {flow_run_id} is {state} already.")


class CannotPause(ConflictError, RuntimeError):
    """A run is in no state to pause in."""


class PauseChanged(ConflictError):
    """A flow asks under the key of an earlier pause, of which one wants an answer and one none.

    Or it waits there already for an answer of another type.
    """

    def __init__(self, *, flow_run_id: UUID, key: str) -> None:
        self.flow_run_id = flow_run_id
        self.key = key
        super().__init__(
            f"pause {key!r} of flow run {flow_run_id} is another kind of question than it was: "
            "one wants an answer and one none, or both wait at once for different ones. Give each "
            "pause a key of its own (key='…'), or start a new run."
        )


class RunLost(ConflictError):
    """A run has passed to another process; nothing more is written for it from this one."""

    def __init__(self, flow_run_id: UUID) -> None:
        self.flow_run_id = flow_run_id
        super().__init__(
            f"flow run {flow_run_id} is not this process's any more: another one has it by now, or "
            "it has ended. This one was frozen or cut off for longer than its lease "
            "(RUNBUS_LEASE_SECONDS), or its server has lost what it had stored."
        )
