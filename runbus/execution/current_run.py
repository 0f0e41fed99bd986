"""The current run: the flow run whose code calls, and the run in whose name it sends and receives.

Both are the same in a flow, and differ in a `bound_run` block.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from runbus.background import bridge
from runbus.errors import FlowRunCancelled, MissingAwait, NoCurrentRun, WrongSyntax
from runbus.execution.held_sends import HeldSends
from runbus.protocol.ids import parse_run_id, text_of

if TYPE_CHECKING:
    from types import TracebackType
    from uuid import UUID

    from runbus.errors import FlowInterrupt
    from runbus.execution.run_context import FlowRunContext, RunningFlow
    from runbus.store.sending.receipt import Send


class Current(NamedTuple):
    """What the code that asks is part of."""

    flow_run: RunningFlow | None = None
    """The flow run whose code this is."""
    bound: tuple[bound_run, ...] = ()
    """The runs in whose name it sends and receives: the innermost last."""


_NOWHERE = Current()
CURRENT: ContextVar[Current] = ContextVar("runbus_current", default=_NOWHERE)


class Unawaited(Protocol):
    """The result of a verb that was called on an event loop and not awaited yet."""

    def missing(self) -> MissingAwait:
        """Return the error that says so."""
        ...


class bound_run:  # noqa: N801  (read as a statement: `with bound_run(id):`)
    """Make the code in the block part of a flow run, whoever runs it.

    Inside, `receive_input` reads that run's inputs and `send_input` sends in its name. The end
    of the block waits for the sends that nobody awaited, and raises what went wrong with them.
    In async code, write `async with`.
    """

    __slots__ = ("_failed", "_held", "_unawaited", "_unsettled", "flow_run_id", "id_text")

    def __init__(self, flow_run_id: UUID | str) -> None:
        self.flow_run_id = parse_run_id(flow_run_id)
        self.id_text = text_of(self.flow_run_id)
        # Dicts for sets, as one that is empty takes a quarter: tens of thousands may wait.
        self._unsettled: dict[Send, None] = {}
        self._held = HeldSends()
        self._failed: list[Send] = []
        self._unawaited: dict[Unawaited, None] = {}

    def __enter__(self) -> Self:
        if bridge.on_loop():
            raise WrongSyntax("with bound_run(…)", "async with bound_run(…)")
        return self._enter()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()
        self._end(exc)

    async def __aenter__(self) -> Self:
        return self._enter()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()
        # Who cancels the task does not want to wait.
        if exc is None or isinstance(exc, (Exception, FlowRunCancelled)):
            while self._unsettled:
                await next(iter(self._unsettled)).settlement()
        self._end(exc)

    def check(self) -> None:
        """Raise what went wrong with an earlier send, unless somebody looked."""
        if not self._failed:
            return
        failed, self._failed = self._failed, []
        errors = [sent for sent in failed if sent.unseen_error is not None]
        if errors:
            self._failed = errors[1:]
            errors[0].result()

    def send(self, sent: Send) -> None:
        """Send in the run's name: its end waits for it, and raises what nobody looked at."""
        self._unsettled[sent] = None
        sent.on_settled = self._note_settled
        run = current_flow_run()
        try:
            if run is not None and (self._held.waits or run.is_doubtful):
                self._held.send(sent, run)
            else:
                bridge.send(sent)
        except Exception:  # the caller knows
            self._unsettled.pop(sent, None)
            raise

    def note_unawaited(self, result: Unawaited) -> None:
        """Expect that this result is awaited before the run ends."""
        self._unawaited[result] = None

    def note_awaited(self, result: Unawaited) -> None:
        """Take note that it was."""
        self._unawaited.pop(result, None)

    def _note_settled(self, sent: Send) -> None:
        self._unsettled.pop(sent, None)
        if sent.unseen_error is not None and not sent.is_watched:
            self._failed.append(sent)

    def _end(self, exc: BaseException | None) -> None:
        if exc is None:
            self.check()
            for result in self._unawaited:
                raise result.missing()
        else:  # the block's own error comes first
            for sent in self._failed:
                sent.log_unseen_error()

    def _enter(self) -> Self:
        current = CURRENT.get()
        CURRENT.set(Current(current.flow_run, (*current.bound, self)))
        return self

    def _leave(self) -> None:
        current = CURRENT.get()
        CURRENT.set(Current(current.flow_run, current.bound[:-1]))


class entered:  # noqa: N801  (read as a statement: `with entered(run):`)
    """Make the code in the block a flow run's own.

    Not a generator: one that an interrupt leaves half-way ends in any thread, later.
    """

    __slots__ = ("_run", "_token")

    def __init__(self, run: RunningFlow) -> None:
        self._run = run

    def __enter__(self) -> None:
        self._run.begin_time()
        self._token = CURRENT.set(CURRENT.get()._replace(flow_run=self._run))

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        try:
            if exc_type is None:
                self._run.check_goes_on()
        finally:
            CURRENT.reset(self._token)
            self._run.end_time()


def current_run() -> bound_run | None:
    """Return the run in whose name this code sends and receives, None outside a run.

    Every verb begins here. Raises what went wrong with an earlier send of the run.
    """
    flow_run, bound = CURRENT.get()
    if flow_run is not None:
        flow_run.check()
    if not bound:
        return None
    bound[-1].check()
    return bound[-1]


def current_flow_run() -> RunningFlow | None:
    """Return the flow run whose code calls this, None outside a flow."""
    return CURRENT.get().flow_run


def get_run_context() -> FlowRunContext:
    """Return the flow run whose code calls this. Raises `NoCurrentRun` outside a flow."""
    return running_flow("get_run_context")


def running_flow(verb: str) -> RunningFlow:
    """Return the same, as a verb knows it. Raises `NoCurrentRun`."""
    run = current_flow_run()
    if run is None:
        raise NoCurrentRun(verb, only_in_flow=True)
    return run


def leave_with(run_id: UUID, interrupt: FlowInterrupt) -> None:
    """Leave the current flow if it is this run, or was called in it: it is not to go on."""
    current = current_flow_run()
    run = current and current.executed(run_id)
    if run is not None:
        run.end(interrupt)
        raise interrupt


def run_id_or_current(flow_run_id: UUID | str | None, verb: str) -> UUID:
    """Return the id that was passed, else the current run's. Raises `NoCurrentRun`."""
    run = current_run()
    if flow_run_id is not None:
        return parse_run_id(flow_run_id)
    if run is None:
        raise NoCurrentRun(verb)
    return run.flow_run_id
