"""How runs end, and waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.errors.base import RunbusError

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


class ReceiveTimeout(RunbusError, TimeoutError):
    """No input came in time."""

    def __init__(
        self,
        *,
        flow_run_id: UUID,
        streams: tuple[str, ...],
        timeout: float | None,
        deadline: datetime | None = None,
    ) -> None:
        self.flow_run_id = flow_run_id
        self.streams = streams
        self.timeout = timeout
        self.deadline = deadline
        """When the receiver's deadline was, where that has passed."""
        time = f"within {timeout:g} s" if deadline is None else f"until {deadline.isoformat()}"
        super().__init__(f"no {' or '.join(streams)} came for flow run {flow_run_id} {time}.")


class FlowPauseTimeout(RunbusError, TimeoutError):
    """Nobody answered a pause in time."""

    def __init__(self, *, flow_run_id: UUID, key: str) -> None:
        self.flow_run_id = flow_run_id
        self.key = key
        super().__init__(f"nobody answered pause {key!r} of flow run {flow_run_id} in time.")


class RunNotEnded(RunbusError, TimeoutError):
    """A run that is waited for takes longer. It goes on."""

    def __init__(self, *, flow_run_id: UUID, timeout: float) -> None:
        self.flow_run_id = flow_run_id
        self.timeout = timeout
        super().__init__(f"flow run {flow_run_id} has not ended within {timeout:g} s.")


class FlowTimeout(RunbusError, TimeoutError):
    """A flow took longer than its `timeout_seconds`."""

    def __init__(self, *, flow: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"flow {flow} took longer than its timeout of {seconds:g} s.")


class RunFailed(RunbusError):
    """A run ended otherwise than by returning."""

    def __init__(self, *, state: str, message: str) -> None:
        self.state = state
        super().__init__(f"the flow run is {state}" + (f": {message}" if message else "."))


class FlowInterrupt(BaseException):
    """Ends a flow from outside. It passes `except Exception`."""

    happened = "was interrupted"

    def __init__(self, flow_run_id: UUID) -> None:
        self.flow_run_id = flow_run_id
        super().__init__(f"flow run {flow_run_id} {self.happened}.")


class FlowRunCancelled(FlowInterrupt):
    """The run was cancelled."""

    happened = "was cancelled"


class FlowRunSuspended(FlowInterrupt):
    """The run leaves its process until it is resumed."""

    happened = "is suspended"


class FlowRunHandedBack(FlowInterrupt):
    """The run's worker ends; another worker goes on with the run."""

    happened = "is handed back"
