"""The call of a flow: what is to be executed, for whom, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from runbus.background.lease_holder import LeaseHolder
    from runbus.execution.activity import Slot
    from runbus.protocol.records import FlowRun


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowCall:
    """A call of a flow that is ready to be executed."""

    flow_name: str
    run_name: str
    fn: Callable[..., Any]
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    parameters: Mapping[str, object]
    hidden_names: Callable[[], frozenset[str]]
    """What is marked as secret in the parameters, by the names of parameters and fields."""
    result_type: object
    """What the function says that it returns."""
    retries: int
    retry_delay_seconds: float
    timeout_seconds: float | None
    log_prints: bool | None = None
    """None: as the flow that it is called in."""

    def call(self) -> Any:
        """Call the flow's function; an async one gives a coroutine."""
        return self.fn(*self.args, **self.kwargs)


@dataclass(frozen=True, kw_only=True, slots=True)
class CallResult:
    """How a call of the flow's function ended."""

    value: object = None
    error: BaseException | None = None
    data: bytes = b""
    """The value's JSON; empty where it has none."""
    is_exact: bool = False
    """Whether the JSON is known to give the very value back."""

    def result(self) -> object:
        """Return the value or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(kw_only=True, eq=False, slots=True)
class Claim:
    """A run that a worker has taken from its deployment; held from there on, until it executes."""

    run: FlowRun
    """As it was claimed: what is written under another epoch than its own is refused."""
    holder: LeaseHolder
    slot: Slot
    """What it takes of the limit of its worker."""
    interrupt: BaseException | None = None
    """Why it has to end before it has begun."""
    is_waiting: bool = False
    is_abandoned: bool = False

    @property
    def run_id(self) -> UUID:
        """The run's id."""
        return self.run.id

    @property
    def epoch(self) -> str:
        """The epoch of the execution."""
        return self.run.epoch

    def end(self, interrupt: BaseException) -> None:
        """End the run as soon as it begins."""
        self.interrupt = interrupt
