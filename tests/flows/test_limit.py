"""The limit of a worker bounds the runs that execute; those that wait are in nobody's way."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
from collections import Counter
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from faults import PATIENCE, answer, result_of, started, state_of, until

from runbus import get_client, receive_input, resume_flow_run, send_input
from runbus.background.bridge import run as block
from runbus.background.caller import blocked_loops
from runbus.errors import NotPaused
from runbus.worker.limit import SlotLimit
from runbus.worker.worker import GRACE_SECONDS

if TYPE_CHECKING:
    from uuid import UUID

    from faults import StartProcess

    from runbus.protocol.records import FlowRun
    from runbus.worker.limit import Activity, Slot

in_processes = pytest.mark.parametrize("server", ["valkey"], indirect=True)


def children_of(run_id: UUID) -> list[FlowRun]:
    return block(lambda: get_client().read_flow_runs(parent_run_id=run_id))


def paused_children(run_id: UUID, count: int) -> list[UUID]:
    """The called flows of a run, once so many of them wait."""

    def found() -> list[UUID] | None:
        paused = [run.id for run in children_of(run_id) if run.state.name == "Paused"]
        return paused if len(paused) == count else None

    return until(found)


# --- By itself -------------------------------------------------------------------------------


class Worker:
    """What a worker does with its limit, as far as that concerns it."""

    def __init__(self, limit: int | None) -> None:
        self.freed = 0
        self.limit = SlotLimit(limit, self.note)

    def note(self) -> None:
        self.freed += 1

    def claim(self) -> Slot:
        slot = self.limit.try_slot()
        assert slot is not None
        return slot


async def is_stuck(activity: Activity) -> bool:
    """Whether an activity that could go on has no slot, after all that is under way was done."""
    waiting = asyncio.ensure_future(activity.has_slot())
    for _ in range(5):
        await asyncio.sleep(0)
    waiting.cancel()
    return not waiting.done()


async def test_a_slot_is_held_while_anything_of_the_run_executes() -> None:
    """It is free while both called flows wait, and again when the one that went on has ended."""
    worker = Worker(1)
    slot = worker.claim()
    first, second = slot.activity.call(), slot.activity.call()
    first.begin_wait()
    assert worker.limit.try_slot() is None
    second.begin_wait()
    assert not worker.limit.is_full
    first.end_wait()
    await first.has_slot()
    assert worker.limit.is_full
    first.end()  # its caller still waits for the second
    assert not worker.limit.is_full
    second.end_wait()
    await second.has_slot()
    second.end()
    assert slot.is_held
    slot.close()
    assert (slot.is_held, worker.freed) == (False, 3)


async def test_several_waits_of_one_run() -> None:
    """The run has its slot again when the last of its verbs goes on."""
    worker = Worker(1)
    slot = worker.claim()
    slot.activity.begin_wait()
    slot.activity.begin_wait()
    slot.activity.end_wait()
    await slot.activity.has_slot()
    assert not slot.is_held
    slot.activity.end_wait()
    await slot.activity.has_slot()
    assert slot.is_held


async def test_who_goes_on_waits_for_a_slot_and_comes_before_new_runs() -> None:
    """In the order in which they asked."""
    worker = Worker(1)
    slots = [worker.claim()]
    for _ in range(3):
        slots[-1].activity.begin_wait()
        slots.append(worker.claim())
    went_on: list[int] = []

    async def go_on(number: int) -> None:
        slots[number].activity.end_wait()
        await slots[number].activity.has_slot()
        went_on.append(number)

    tasks = [asyncio.ensure_future(go_on(number)) for number in (1, 0, 2)]
    await asyncio.sleep(0.01)
    assert went_on == []
    slots[3].close()
    assert worker.limit.try_slot() is None
    for count, number in enumerate((1, 0, 2), 1):
        await asyncio.sleep(0.01)
        assert (went_on, worker.limit.try_slot()) == ([1, 0, 2][:count], None)
        slots[number].close()
    await asyncio.gather(*tasks)
    assert worker.limit.try_slot() is not None


async def test_who_gives_up_waiting_for_a_slot_is_in_nobodys_way() -> None:
    """Neither before its turn nor in the moment when it was given."""
    worker = Worker(1)
    gone, next_one = worker.claim(), None
    gone.activity.begin_wait()
    next_one = worker.claim()
    next_one.activity.begin_wait()
    last = worker.claim()
    gone.activity.end_wait()
    next_one.activity.end_wait()
    leaving = asyncio.ensure_future(gone.activity.has_slot())
    staying = asyncio.ensure_future(next_one.activity.has_slot())
    await asyncio.sleep(0)
    last.close()  # it is the first one's turn
    leaving.cancel()
    await asyncio.wait_for(staying, 5)
    assert (gone.is_held, next_one.is_held) == (False, True)


async def test_parts_of_one_run_that_go_on_at_once_share_one_slot() -> None:
    """The second of them needs no turn of its own."""
    worker = Worker(1)
    slot = worker.claim()
    parts = [slot.activity.call() for _ in range(3)]
    for part in parts:
        part.begin_wait()
    other = worker.claim()
    for part in parts:
        part.end_wait()
    waiting = [asyncio.ensure_future(part.has_slot()) for part in parts]
    await asyncio.sleep(0.01)
    assert not any(each.done() for each in waiting)
    other.close()
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    for part in parts[:2]:
        part.end()
    assert slot.is_held
    parts[2].begin_wait()
    assert not slot.is_held


async def test_who_blocks_a_loop_waits_for_no_slot_of_a_run_on_it() -> None:
    """That run stands still until the loop goes on; those on other loops execute."""
    worker = Worker(1)
    blocking = worker.claim()
    blocking.activity.begin_wait()
    beside = worker.claim()
    blocking.activity.end_wait()
    assert await is_stuck(blocking.activity)
    blocked_loops.set(frozenset({asyncio.get_running_loop()}))
    assert not await is_stuck(blocking.activity)
    assert (blocking.is_held, beside.is_held, worker.limit.is_full) == (True, True, True)
    blocking.close()
    assert worker.limit.is_full
    beside.close()
    assert not worker.limit.is_full


async def test_a_turn_on_a_blocked_loop_keeps_the_slot_from_nobody() -> None:
    """Whoever runs takes it; who was asked first takes it when their loop goes on."""
    worker = Worker(1)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    first = worker.claim()
    first.activity.begin_wait()
    second = worker.claim()
    second.activity.begin_wait()
    third = worker.claim()
    first.activity.end_wait()
    elsewhere = asyncio.run_coroutine_threadsafe(first.activity.has_slot(), loop)
    until(lambda: worker.limit._queues != {})
    goes_on = threading.Event()
    loop.call_soon_threadsafe(goes_on.wait)
    third.close()
    second.activity.end_wait()
    await asyncio.wait_for(second.activity.has_slot(), 5)
    goes_on.set()
    await asyncio.sleep(0.01)
    assert not elsewhere.done()
    second.close()
    await asyncio.wait_for(asyncio.wrap_future(elsewhere), 5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def test_who_is_told_of_a_free_slot_is_told_in_no_runs_context() -> None:
    """A worker begins other runs then, which are no parts of the one that gave its slot back."""
    found: list[str] = []
    whose = ContextVar("whose", default="nobody's")
    limit = SlotLimit(1, lambda: found.append(whose.get()))
    slot = limit.try_slot()
    assert slot is not None
    whose.set("a run's")
    slot.activity.begin_wait()
    assert found == ["nobody's"]


class Storm:
    """Runs that call flows, wait, and give up waiting, side by side; counts those that execute."""

    def __init__(self, limit: int) -> None:
        self.freed = threading.Semaphore(0)
        self.limit = SlotLimit(limit, self.freed.release)
        self.executing: Counter[Slot] = Counter()
        self.most = 0
        self._lock = threading.Lock()

    async def run_many(self, count: int) -> None:
        async with asyncio.timeout(50):
            await asyncio.gather(*(self.run() for _ in range(count)))

    async def run(self) -> None:
        while (slot := self.limit.try_slot()) is None:
            await asyncio.to_thread(self.freed.acquire, timeout=0.05)
        await self.work(slot.activity, 0)
        slot.close()

    async def work(self, activity: Activity, depth: int) -> None:
        for _ in range(3):
            await self.execute(activity.slot)
            if depth < 2 and random.random() < 0.4:
                await asyncio.gather(*(self.call(activity, depth + 1) for _ in range(2)))
            else:
                await self.wait(activity)

    async def execute(self, slot: Slot) -> None:
        with self._lock:
            self.executing[slot] += 1
            self.most = max(self.most, len(+self.executing))
        await asyncio.sleep(random.random() * 0.002)
        with self._lock:
            self.executing[slot] -= 1

    async def call(self, caller: Activity, depth: int) -> None:
        part = caller.call()
        await part.has_slot()
        await self.work(part, depth)
        part.end()
        await caller.has_slot()

    async def wait(self, activity: Activity) -> None:
        activity.begin_wait()
        await asyncio.sleep(random.random() * 0.002)
        activity.end_wait()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(random.random() * 0.01):
                    return await activity.has_slot()


@pytest.mark.parametrize("limit", [1, 3])
def test_a_storm_of_runs_keeps_the_limit_and_ends(limit: int) -> None:
    """On two loops in two threads, all in one limit."""
    storm = Storm(limit)
    work = [threading.Thread(target=asyncio.run, args=(storm.run_many(30),)) for _ in range(2)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert 0 < storm.most <= limit
    assert (storm.limit.holders, storm.limit.is_full, +storm.executing) == (set(), False, Counter())


# --- In a worker -----------------------------------------------------------------------------


@in_processes
@pytest.mark.parametrize("name", ["two-deployed", "sync-two-deployed", "two-watched"])
def test_a_parent_that_awaits_two_runs_of_its_own_worker(
    start_process: StartProcess, name: str
) -> None:
    """With one slot, which it has not while it waits for either of them."""
    start_process("nested.py", "1", name, "leaf")
    assert result_of(started(f"{name}/x")) == [1, 2]


@in_processes
@pytest.mark.parametrize("name", ["two-asking", "sync-two-asking"])
def test_two_called_flows_that_are_answered_one_after_the_other(
    start_process: StartProcess, name: str
) -> None:
    """In between, other runs execute in the one slot."""
    start_process("nested.py", "1", name, "leaf")
    run_id = started(f"{name}/x")
    paused = paused_children(run_id, 2)
    answer(paused[0], 1)
    until(lambda: state_of(paused[0]) == "Completed")
    assert result_of(started("leaf/x", {"number": 5})) == 5
    answer(paused[1], 2)
    assert sorted(result_of(run_id)) == [1, 2]


@in_processes
@pytest.mark.parametrize("name", ["listen", "sync-listen"])
def test_a_run_that_only_receives_does_not_count(start_process: StartProcess, name: str) -> None:
    """Others execute while it waits for an input, and its worker need not wait for it to end."""
    worker = start_process("nested.py", "1", name, "leaf")
    waiting = started(f"{name}/x")
    until(lambda: state_of(waiting) == "Running")
    assert result_of(started("leaf/x", {"number": 5})) == 5
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(GRACE_SECONDS / 2) == 0
    assert state_of(waiting) == "Scheduled"
    send_input(3, waiting)
    start_process("nested.py", "1", name)
    assert result_of(waiting) == 3


@in_processes
def test_a_sync_flow_that_pauses_in_an_async_one(start_process: StartProcess) -> None:
    """It blocks the worker's loop, and goes on when it is answered."""
    start_process("nested.py", "1", "block-and-ask")
    run_id = started("block-and-ask/x")
    answer(*paused_children(run_id, 1), 4)
    assert result_of(run_id) == 4


@in_processes
def test_a_sync_flow_that_awaits_a_run_in_an_async_one(start_process: StartProcess) -> None:
    """Another worker executes the run that it waits for."""
    start_process("nested.py", "1", "leaf")
    assert result_of(started("leaf/x", {"number": 1})) == 1
    start_process("nested.py", "1", "block-and-await")
    assert result_of(started("block-and-await/x")) == 7


@in_processes
@pytest.mark.parametrize("name", ["block-and-ask", "block-and-await"])
def test_sigterm_is_heard_on_a_blocked_loop(start_process: StartProcess, name: str) -> None:
    """What blocks it only waits, so it is handed back at once, and goes on elsewhere."""
    worker = start_process("nested.py", "1", name, "leaf")
    run_id = started(f"{name}/x")
    (child,) = until(lambda: children_of(run_id))
    until(lambda: state_of(child.id) == "Paused" or children_of(child.id))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(GRACE_SECONDS / 2) == 0
    assert state_of(run_id) == "Scheduled"
    start_process("nested.py", "1", "leaf")
    start_process("nested.py", "1", name)
    if name == "block-and-ask":
        answer(child.id, 7)
    assert result_of(run_id) == 7


@in_processes
def test_who_is_answered_on_a_blocked_loop_keeps_no_slot_from_who_blocks_it(
    start_process: StartProcess,
) -> None:
    """The one slot is free for both, and the second can take it only when the first is done."""
    start_process("nested.py", "1", "block-and-ask", "ask")
    beside = started("ask/x", {"key": "a"})
    until(lambda: state_of(beside) == "Paused")
    blocking = started("block-and-ask/x")
    (child,) = paused_children(blocking, 1)
    resume_flow_run(beside, {"value": 1})
    answer(child, 2)
    assert (result_of(blocking), result_of(beside)) == (2, 1)


@in_processes
def test_who_holds_a_slot_on_a_blocked_loop_keeps_it_from_nobody(
    start_process: StartProcess,
) -> None:
    """A branch beside a pause blocks the loop, while a neighbour executes in the one slot."""
    observer = uuid4()
    start_process("nested.py", "1", "block-beside-a-pause", "nap")
    words = receive_input(str, flow_run_id=observer, timeout=PATIENCE)
    run_id = started("block-beside-a-pause/x", {"observer": str(observer)})
    until(lambda: state_of(run_id) == "Paused")
    beside = started("nap/x", {"observer": str(observer)})
    assert words.next() == "naps"
    send_input("now", run_id, key_prefix="call")
    assert words.next() == "calls"
    answer(*paused_children(run_id, 1), 2)
    assert result_of(beside) == "napped"
    until(lambda: resume_flow_run(run_id, {"value": 1}) is None, NotPaused)
    assert result_of(run_id) == [1, 2]
