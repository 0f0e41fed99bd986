"""A flow run as its code sees it: what it knows, when it has to end, how it waits."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from runbus.background import bridge
from runbus.errors import FlowInterrupt, FlowRunCancelled, FlowTimeout
from runbus.execution.activity import Wait
from runbus.execution.interruption import as_cancellation, delivered

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from runbus.background.lease_holder import LeaseHolder
    from runbus.execution.activity import Activity, Slot
    from runbus.protocol.records import FlowRun

T = TypeVar("T")
Tasks = dict["asyncio.Task[Any]", None]
_NO_LIMIT = nullcontext()
CLEAN_UP_SECONDS = 10.0
"""How long the code of a flow may still use its verbs once it was told that it is cancelled."""


@dataclass(kw_only=True, eq=False, slots=True)
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


@dataclass(kw_only=True, eq=False, slots=True)
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
    # Dicts for sets, as one that is empty takes a quarter: tens of thousands may wait.
    parts: dict[RunningFlow, None] = field(default_factory=dict["RunningFlow", None])
    """The runs of flows that were called in this one and have not ended."""
    _asked: list[str] = field(default_factory=list[str])
    _waiting: Tasks = field(default_factory=dict["asyncio.Task[Any]", None])
    _cancelled: Tasks = field(default_factory=dict["asyncio.Task[Any]", None])
    """Those of them that were cancelled to deliver the interrupt."""
    _told: Tasks = field(default_factory=dict["asyncio.Task[Any]", None])
    """Those that it was delivered to."""
    _deadline: float | None = None
    _clean_up_ends: float | None = None

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

    @property
    def cleans_up(self) -> bool:
        """Whether the flow was told that it is cancelled, and still has time for what follows."""
        ends = self._clean_up_ends
        is_cancelled = isinstance(self.interrupt, FlowRunCancelled)
        return is_cancelled and ends is not None and time.monotonic() < ends

    def check(self) -> None:
        """Raise `FlowRunCancelled` or `FlowTimeout` if the run has to end, unless it cleans up."""
        if self.interrupt is not None:
            if self.cleans_up:
                return
            raise self._told_here()
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise self._out_of_time()

    def check_goes_on(self) -> None:
        """Raise the same also while it cleans up: for what only a run does that goes on."""
        if self.interrupt is not None:
            raise self._told_here()
        self.check()

    def told(self, interrupt: FlowRunCancelled) -> BaseException:
        """Return what a verb raises that has heard of the end itself, before a signal has come."""
        if self.interrupt is None:
            self.end(interrupt)
        return self._told_here()

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
        if self.cleans_up and isinstance(interrupt, FlowRunCancelled):
            return  # it knows
        waits: dict[asyncio.Task[Any], list[RunningFlow]] = {}
        self._note_interrupt(interrupt, waits)
        for task, runs in waits.items():  # each on a loop of its own, maybe in another thread
            with suppress(RuntimeError):  # that loop has ended
                task.get_loop().call_soon_threadsafe(_deliver, task, runs)

    def _note_interrupt(
        self, interrupt: BaseException, waits: dict[asyncio.Task[Any], list[RunningFlow]]
    ) -> None:
        self.interrupt = interrupt
        for task in tuple(self._waiting):
            waits.setdefault(task, []).append(self)
        for part in tuple(self.parts):
            part._note_interrupt(interrupt, waits)

    async def interruptible(self, work: Coroutine[object, None, T]) -> T:
        """Do work that ends when the run is cancelled or its time is over."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        is_outermost = task not in self._waiting
        self._waiting[task] = None
        seconds = self._seconds_left()
        limit = None if seconds is None else asyncio.timeout(seconds)
        try:
            if self.interrupt is not None and not self.cleans_up:
                work.close()  # it came after the verb had looked
                raise self._told_to(task)
            async with limit or _NO_LIMIT:
                return await work
        except asyncio.CancelledError:
            if self.interrupt is None or task not in self._cancelled:
                raise
            raise self._taken(task) from None
        except TimeoutError:
            if limit is not None and limit.expired():
                raise (self.interrupt or self._out_of_time()) from None
            raise
        finally:
            if is_outermost:
                for each in (self._waiting, self._cancelled, self._told):
                    each.pop(task, None)
            # An error takes its frames along to another thread, where no task is to come to its
            # end: asyncio's own note of that would swallow an interrupt.
            del task, limit

    def flow_code(self, work: Coroutine[object, None, T]) -> Coroutine[object, None, T]:
        """Do the same with the flow's own code, which is told why it has to end, where it waits."""
        driven = cast("Coroutine[object, None, T]", delivered(work, self._reason))
        return self.interruptible(driven)

    def _reason(self, thrown: BaseException) -> BaseException:
        """Return what is thrown into the flow's code as what it is to see."""
        if not isinstance(self.interrupt, FlowInterrupt):
            return thrown
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        if isinstance(thrown, FlowInterrupt):  # as the flow was told that this one is called in
            self._cancelled.pop(task, None)
            return as_cancellation(self._told_to(task))
        if task not in self._cancelled:
            return thrown
        return as_cancellation(self._taken(task))

    def _taken(self, task: asyncio.Task[Any]) -> BaseException:
        """Take the interrupt that a cancellation of the task stands for."""
        self._cancelled.pop(task, None)
        task.uncancel()
        return self._told_to(task)

    def note_raised(self, error: BaseException | None) -> None:
        """Take note of what a flow raises that was called here: it tells of the end, too."""
        if isinstance(error, FlowRunCancelled):
            self._begin_clean_up()

    def _told_here(self) -> BaseException:
        return self._told_to(asyncio.current_task() if bridge.on_loop() else None)

    def _told_to(self, task: asyncio.Task[Any] | None) -> BaseException:
        """Return the interrupt, and take note that a task is told of it, or a thread."""
        run: RunningFlow | None = self
        while task is not None and run is not None and run.interrupt is not None:
            run._told[task] = None
            run = run.caller
        self._begin_clean_up()
        return cast("BaseException", self.interrupt)

    def _begin_clean_up(self) -> None:
        if self._clean_up_ends is not None or not isinstance(self.interrupt, FlowRunCancelled):
            return
        self._clean_up_ends = time.monotonic() + CLEAN_UP_SECONDS
        for task in tuple(self._waiting):
            with suppress(RuntimeError):
                task.get_loop().call_soon_threadsafe(self._plan_last_call, task)

    def _plan_last_call(self, task: asyncio.Task[Any]) -> None:
        task.get_loop().call_later(CLEAN_UP_SECONDS, self._tell_again, task)

    def _tell_again(self, task: asyncio.Task[Any]) -> None:
        self._told.pop(task, None)
        _deliver(task, [self])

    def _awaits(self, task: asyncio.Task[Any]) -> bool:
        told = task in self._told or task in self._cancelled
        return task in self._waiting and not told

    def _seconds_left(self) -> float | None:
        ends = self._clean_up_ends if self.interrupt is not None else self._deadline
        return None if ends is None else ends - time.monotonic()

    def waiting(self, after: float = 0) -> AbstractAsyncContextManager[None]:
        """Let other runs execute while the verb in the block waits, as far as this one does not.

        Only once it has waited for some time (seconds), if `after` says so.
        """
        return _NO_LIMIT if self.activity is None else Wait(self, self.activity, after)

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

    def asking(self, key: str) -> Asking:
        """Wait in a pause, in the block."""
        return Asking(self._asked, key)

    def waits_in(self, key: str) -> bool:
        """Whether the run waits in a pause, on any of its loops and threads."""
        return key in self._asked

    def _out_of_time(self) -> FlowTimeout:
        return FlowTimeout(flow=self.flow_run.flow_name, seconds=self.timeout_seconds or 0)


class Asking:
    """A pause that is waited in, as a block; among those of its run."""

    __slots__ = ("_asked", "_key")

    def __init__(self, asked: list[str], key: str) -> None:
        self._asked = asked
        self._key = key

    def __enter__(self) -> None:
        self._asked.append(self._key)

    def __exit__(self, *_: object) -> None:
        self._asked.remove(self._key)


def _deliver(task: asyncio.Task[Any], runs: list[RunningFlow]) -> None:
    """Cancel a task once, however many runs wait in it; each then sees its interrupt."""
    waiting = [run for run in runs if run._awaits(task)]  # pyright: ignore[reportPrivateUsage]
    for run in waiting:
        run._cancelled[task] = None  # pyright: ignore[reportPrivateUsage]
    if waiting:
        task.cancel()
