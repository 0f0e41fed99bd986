"""Endings: what is recorded of an execution for what the flow's code returned or raised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.errors import FlowRunCancelled, FlowRunHandedBack, FlowRunSuspended, RunLost
from runbus.protocol.entries import storable
from runbus.protocol.execution import Ending

if TYPE_CHECKING:
    from runbus.execution.call import CallResult
    from runbus.execution.run_context import RunningFlow

_LEAVES_PROCESS = (FlowRunSuspended, FlowRunHandedBack, RunLost)
_STATES_AFTER: dict[type[BaseException], str] = {
    FlowRunCancelled: "Cancelled",
    FlowRunSuspended: "Suspended",
    FlowRunHandedBack: "Scheduled",
    Exception: "Failed",
}
"""What the run comes into when the flow's code ends with an error."""


def ending_of(
    run: RunningFlow, outcome: CallResult, *, is_claimed: bool, limit: int
) -> Ending | None:
    """Return how a run ends, None when the server has the last word already.

    A result of more bytes than the limit is not kept. A run that no worker has claimed goes on in
    no other process: one that was called by another waits for that one, else it has crashed.
    """
    error = outcome.error
    if error is None:
        data = outcome.data if len(outcome.data) <= limit else b""
        return _ending(run, "Completed", result=data, is_exact=outcome.is_exact)
    if run.has_left or isinstance(error, RunLost):
        return None
    if run.caller is not None and isinstance(error, _LEAVES_PROCESS):
        return _ending(run, "Left", "waits until its parent goes on")
    if isinstance(error, FlowRunHandedBack) and not is_claimed:
        return _ending(run, "Crashed", words_of(error))
    for kind, state in _STATES_AFTER.items():
        if isinstance(error, kind):
            return _ending(run, state, words_of(error) if state == "Failed" else "")
    return _ending(run, "Crashed", f"interrupted by {type(error).__name__}")


def retry_ending(run: RunningFlow, error: Exception, retry: int) -> Ending:
    """Return how a call of the flow ends that is followed by another one, in the same execution."""
    return _ending(run, "Pending", words_of(error), retry=retry)


def _ending(
    run: RunningFlow,
    state: str,
    message: str = "",
    result: bytes = b"",
    *,
    is_exact: bool = False,
    retry: int | None = None,
) -> Ending:
    record = run.flow_run
    return Ending(
        run_id=record.id,
        run_name=record.name,  # another one made a child that goes on after a crash
        epoch=run.epoch,
        deployment=record.deployment_id,
        state=state,
        message=message,
        result=result,
        is_exact=is_exact,
        retry=retry,
    )


def words_of(error: BaseException) -> str:
    """Return the first line of what an error says, with the name of its class."""
    try:
        told = f"{type(error).__name__}: {error}"
    except BaseException:  # of its own code, whatever that raises
        told = type(error).__name__
    return storable(told.split("\n", 1)[0][:500])
