"""The flow run whose code calls: what it knows, when it has to end, how it waits."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from runbus import bridge
from runbus.errors import FlowTimeout, NoCurrentRun, RunLost

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Mapping
    from uuid import UUID

    from runbus.protocol.records import FlowRun
    from runbus.store.lease import Lease

T = TypeVar("T")

FLOW_RUN: ContextVar[FlowRunContext | None] = ContextVar("runbus_flow_run", default=None)


@dataclass(kw_only=True, eq=False)
class FlowRunContext:
    """The flow run whose code this is."""

    flow_run: FlowRun
    """The run, as it was when it began."""
    parameters: Mapping[str, Any]
    """What the flow was called with."""
    retry: int = 0
    """How many times the flow was retried."""
    timeout_seconds: float | None = None
    """How long the flow may take, in seconds."""
    log_prints: bool = False
    """Whether what the flow prints becomes lines of the run."""
    pauses: int = 0
    """How many pauses without a key of their own were passed."""
    children: int = 0
    """How many runs were started as parts of this one."""
    interrupt: BaseException | None = None
    """Why the run has to leave its process, once it has to."""
    has_left: bool = False
    """Whether it is recorded that the run has left its process."""
    lease: Lease | None = None
    """By which this process has the run."""
    slot: Slot | None = None
    """Its place among the runs that its worker executes at once, if it has one."""
    parts: set[FlowRunContext] = field(default_factory=set["FlowRunContext"])
    """The runs of flows that were called in this one and have not ended."""
    _waiting: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])
    _deadline: float | None = None

    @property
    def name(self) -> str:
        """The run's name."""
        return self.flow_run.name

    @property
    def run_id(self) -> UUID:
        """The run's id."""
        return self.flow_run.id

    @property
    def epoch(self) -> int:
        """The run's epoch when it began here."""
        return self.flow_run.epoch

    @property
    def is_waiting(self) -> bool:
        """Whether the run waits for an answer and has given up its place meanwhile."""
        return self.slot is not None and not self.slot.is_held

    def entered(self) -> Entered:
        """Make the code in the block this run's own."""
        return Entered(self)

    def begin_time(self) -> None:
        """Let the time run that the flow may take."""
        if self.timeout_seconds is not None:
            self._deadline = time.monotonic() + self.timeout_seconds

    def end_time(self) -> None:
        """Let it run no more: what follows is not the flow's own."""
        self._deadline = None

    def check(self) -> None:
        """Raise `FlowRunCancelled` or `FlowTimeout` if the run has to end."""
        if self.interrupt is not None:
            raise self.interrupt
        if self.lease is not None and self.lease.is_overdue:
            raise RunLost(self.flow_run.id)
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise self._out_of_time()

    async def confirm(self) -> None:
        """Raise `RunLost` if the run is another process's by now.

        Whoever has waited asks this before the flow is given what came: the process may have
        slept for longer than its lease.
        """
        if self.lease is not None and self.lease.is_overdue:
            await bridge.in_background(self.lease.renew)
        self.check()

    def end(self, interrupt: BaseException) -> None:
        """End the run, and those that are parts of it.

        At once where they wait, elsewhere at their next verb.
        """
        self.interrupt = interrupt
        for part in tuple(self.parts):
            part.end(interrupt)
        for task in tuple(self._waiting):  # each on a loop of its own, maybe in another thread
            with suppress(RuntimeError):  # that loop has ended
                task.get_loop().call_soon_threadsafe(self._cancel_wait, task)

    async def interruptible(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work that ends when the run is cancelled or its time is over."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._waiting.add(task)
        left = None if self._deadline is None else self._deadline - time.monotonic()
        limit = asyncio.timeout(left)
        try:
            if self.interrupt is not None:  # it came after the verb had looked
                work.close()
                raise self.interrupt
            async with limit:
                return await work
        except asyncio.CancelledError:
            if self.interrupt is None:
                raise
            task.uncancel()
            raise self.interrupt from None
        except TimeoutError:
            if limit.expired():
                raise self._out_of_time() from None
            raise
        finally:
            self._waiting.discard(task)
            # An error takes its frames along to another thread, where no task is to come to its
            # end: asyncio's own note of that would swallow an interrupt.
            del task, limit

    @asynccontextmanager
    async def without_slot(self) -> AsyncGenerator[None]:
        """Give the run's place to another one while it waits."""
        if self.slot is None:
            yield
            return
        await self.slot.leave()
        try:
            yield
        finally:
            if self.interrupt is None:  # else the run executes no more
                await self.slot.take()

    def _cancel_wait(self, task: asyncio.Task[Any]) -> None:
        if task in self._waiting:
            task.cancel()

    def _out_of_time(self) -> FlowTimeout:
        return FlowTimeout(flow=self.flow_run.flow_name, seconds=self.timeout_seconds or 0)


class Entered:
    """A block of code that is a run's own.

    Not a generator: one that an interrupt leaves half-way ends in any thread, later.
    """

    def __init__(self, run: FlowRunContext) -> None:
        self._run = run

    def __enter__(self) -> None:
        self._run.begin_time()
        self._token = FLOW_RUN.set(self._run)

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        try:
            if exc_type is None:
                self._run.check()
        finally:
            FLOW_RUN.reset(self._token)
            self._run.end_time()


def get_run_context() -> FlowRunContext:
    """Return the flow run whose code calls this. Raises `NoCurrentRun` outside a flow."""
    run = FLOW_RUN.get()
    if run is None:
        raise NoCurrentRun("get_run_context")
    return run


def current_flow_run() -> FlowRunContext | None:
    """Return the flow run whose code calls this, None outside a flow."""
    return FLOW_RUN.get()


class Slot(Protocol):
    """A place among the runs that execute at once."""

    @property
    def is_held(self) -> bool:
        """Whether the run has the place now."""
        ...

    async def leave(self) -> None:
        """Give the place to another run while this one waits."""
        ...

    async def take(self) -> None:
        """Wait for a place."""
        ...
