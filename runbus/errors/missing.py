"""What is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.errors.base import NotFound

if TYPE_CHECKING:
    from uuid import UUID


class RunMissing(NotFound):
    """Runbus knows no run of this id."""

    def __init__(self, flow_run_id: UUID | str) -> None:
        self.flow_run_id = flow_run_id
        """Its id, or the text that was to find it."""
        super().__init__(
            f"there is no flow run {flow_run_id} here: it never was, its keys have expired, or it "
            "is on another server or under another RUNBUS_PREFIX."
        )


class RunExpired(RunMissing):
    """A run has ended so long ago that its record is not kept any more.

    For who waited for its end and could not look meanwhile, as its process slept.
    """

    def __init__(self, flow_run_id: UUID | str) -> None:
        NotFound.__init__(
            self,
            f"flow run {flow_run_id} has ended, and its record is not kept any more: this process "
            "has slept for longer than RUNBUS_RETENTION_SECONDS.",
        )
        self.flow_run_id = flow_run_id


class DeploymentMissing(NotFound):
    """There is no deployment of this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"there is no deployment {name!r}: some_flow.serve(name='…') makes flow/name and works "
            "on its runs."
        )


class NoResult(NotFound):
    """A run has nothing to return, or nothing that could be kept."""

    def __init__(self, state: str) -> None:
        self.state = state
        super().__init__(
            f"there is no result: the run is {state}"
            + (
                ", and what it returned cannot be written as JSON or is too large."
                if state == "Completed"
                else "."
            )
        )
