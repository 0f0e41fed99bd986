"""A flow run as its code sees it: what it knows, when it has to end, how it waits."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from runbus.errors import FlowTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Generator, Mapping
    from uuid import UUID

    from runbus.background.lease_holder import LeaseHolder
    from runbus.protocol.records import FlowRun

T = TypeVar("T")


@dataclass(kw_only=True, eq=False)
class FlowRunContext:
    """The flow run whose code this is: what `get_run_context` returns."""

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

    @property
    def name(self) -> str:
        """The run's name."""
        return self.flow_run.name

    @property
    def run_id(self) -> UUID:
        """The run's id."""
        return self.flow_run.id


@dataclass(kw_only=True, eq=False)
class RunningFlow(FlowRunContext):
    """The flow run whose code this is, as those who execute it and its verbs know it."""

    pauses: int = 0
    """How many pauses without a key of their own were passed."""
    children: int = 0
    """How many runs were started as parts of this one."""
    interrupt: BaseException | None = None
    """Why the run has to leave its process, once it has to."""
    has_left: bool = False
    """Whether it is recorded that the run has left its process."""
    holder: LeaseHolder | None = None
    """By which this process has the run."""
    loop: asyncio.AbstractEventLoop | None = None
    """On which it is executed, or what its thread asks for is done."""
    slot: Slot | None = None
    """What it takes of the limit of its worker, with the runs that it is part of."""
    activity: Activity | None = None
    """Its own part in the slot."""
    caller: RunningFlow | None = None
    """The run in which this flow was called."""
    parts: set[RunningFlow] = field(default_factory=set["RunningFlow"])
    """The runs of flows that were called in this one and have not ended."""
    _asked: list[str] = field(default_factory=list[str])
    _waiting: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])
    _deadline: float | None = None

    @property
    def epoch(self) -> str:
        """The run's epoch when it began here."""
        return self.flow_run.epoch

    @property
    def is_waiting(self) -> bool:
        """Whether all that the run does is to wait, so that others execute in its place."""
        return self.slot is not None and not self.slot.is_held

    @property
    def is_abandoned(self) -> bool:
        """Whether its loop was closed before it has ended: then it never does."""
        return self.loop is not None and self.loop.is_closed()

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
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise self._out_of_time()

    async def confirm(self) -> None:
        """Raise `RunLost` if the run is another process's by now.

        Whoever has waited asks this before the flow is given what came, and before it sends to
        others: the process may have slept for longer than its lease. Until that is known it waits,
        for `retry_seconds` at most; then it raises `RunbusError`.
        """
        self.check()
        if self.is_doubtful and self.holder is not None:
            await self.interruptible(self.holder.until_sure(self.run_id))
        self.check()

    @property
    def is_doubtful(self) -> bool:
        """Whether it is not known if the run is still this process's."""
        holder = self.holder
        return holder is not None and holder.is_of_this_process and holder.is_doubtful(self.run_id)

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

    async def interruptible(self, work: Coroutine[object, None, T]) -> T:
        """Do work that ends when the run is cancelled or its time is over."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        is_outermost = task not in self._waiting
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
            if is_outermost:
                self._waiting.discard(task)
            # An error takes its frames along to another thread, where no task is to come to its
            # end: asyncio's own note of that would swallow an interrupt.
            del task, limit

    @asynccontextmanager
    async def waiting(self, after: float = 0) -> AsyncGenerator[None]:
        """Let other runs execute while the verb in the block waits, as far as this one does not.

        Only once it has waited for some time (seconds), if `after` says so.
        """
        if self.activity is None:
            yield
            return
        wait = Wait(self.activity, after)
        try:
            yield
        finally:
            if wait.end() and self.interrupt is None:  # else the run executes no more
                await self.activity.has_slot()

    async def begin_call(self) -> Activity | None:
        """Begin the activity of a flow that is called in this run."""
        if self.activity is None:
            return None
        called = self.activity.call()
        try:
            await self.interruptible(called.has_slot())
        except BaseException:
            called.end()
            raise
        return called

    async def end_call(self, called: Activity | None) -> None:
        """End the activity of a flow that was called in this run, which goes on."""
        if called is None or self.activity is None:
            return
        called.end()
        if self.interrupt is None:
            await self.interruptible(self.activity.has_slot())

    def executed(self, flow_run_id: UUID) -> RunningFlow | None:
        """Return the run of this id if this one is it, or is a part of it."""
        run: RunningFlow | None = self
        while run is not None and run.run_id != flow_run_id:
            run = run.caller
        return run

    @contextmanager
    def asking(self, key: str) -> Generator[None]:
        """Wait in a pause, in the block."""
        self._asked.append(key)
        try:
            yield
        finally:
            self._asked.remove(key)

    def waits_in(self, key: str) -> bool:
        """Whether the run waits in a pause, on any of its loops and threads."""
        return key in self._asked

    def _cancel_wait(self, task: asyncio.Task[Any]) -> None:
        if task in self._waiting:
            task.cancel()

    def _out_of_time(self) -> FlowTimeout:
        return FlowTimeout(flow=self.flow_run.flow_name, seconds=self.timeout_seconds or 0)


class Wait:
    """A wait of one of a run's verbs, which counts after some time (seconds)."""

    def __init__(self, activity: Activity, after: float) -> None:
        self._activity = activity
        self._has_begun = False
        self._timer: asyncio.TimerHandle | None = None
        if after > 0:
            self._timer = asyncio.get_running_loop().call_later(after, self._begin)
        else:
            self._begin()

    def end(self) -> bool:
        """End it; return whether it counted."""
        if self._timer is not None:
            self._timer.cancel()
        if self._has_begun:
            self._activity.end_wait()
        return self._has_begun

    def _begin(self) -> None:
        self._has_begun = True
        self._activity.begin_wait()


class Slot(Protocol):
    """What a claimed run takes of the limit of its worker."""

    @property
    def is_held(self) -> bool:
        """Whether it counts against the limit now."""
        ...

    @property
    def activity(self) -> Activity:
        """The claimed run's own."""
        ...

    def enter_loop(self) -> None:
        """Take note that the run is executed on this thread's event loop."""
        ...

    def close(self) -> None:
        """Give it back for good."""
        ...


class Activity(Protocol):
    """One run's part in a slot."""

    def begin_wait(self) -> None:
        """Take note that one more verb of the run waits."""
        ...

    def end_wait(self) -> None:
        """Take note that one of them goes on, as soon as it `has_slot`."""
        ...

    def call(self) -> Activity:
        """Begin the activity of a flow that the run calls, and that goes on once it `has_slot`."""
        ...

    def end(self) -> None:
        """End the activity of a flow that was called."""
        ...

    async def has_slot(self) -> None:
        """Wait until there is a slot for the run to execute in."""
        ...
