"""No run is left where nobody goes on with it: pauses given up, runs suspended and cancelled."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from faults import PATIENCE, answer, result_of, started, state_of, until
from owners import claimed, created, ended, handed_back

from runbus import (
    cancel_flow_run,
    flow,
    get_client,
    get_run_context,
    pause_flow_run,
    receive_input,
    resume_flow_run,
    run_deployment,
    send_input,
    suspend_flow_run,
    wait_for_flow_run,
)
from runbus.background.bridge import run as block
from runbus.errors import AlreadyEnded, FlowRunCancelled, FlowTimeout, NotPaused, RunLost
from runbus.store.bus import current_bus
from runbus.store.records import deployments, pause_opening, pauses, runs
from runbus.store.records.pause_opening import open_pause
from runbus.worker.worker import GRACE_SECONDS

if TYPE_CHECKING:
    from faults import StartWorker
    from servers import Server


def waiting_runs() -> list[UUID]:
    return [each.run.id for each in block(lambda: get_client().read_waiting())]


async def pause_states(run_id: UUID, *keys: str) -> list[str]:
    found = [await pauses.read(current_bus(), run_id, key) for key in keys]
    return [pause.state for pause in found if pause is not None]


# --- Pauses that the flow gives up -----------------------------------------------------------


async def test_a_pause_that_the_flow_gives_up_is_withdrawn(server: Server) -> None:
    """Its run goes on: it is asked nothing, may pause again, and ends as it should."""
    ids: list[UUID] = []

    @flow
    async def impatient() -> int:
        ids.append(get_run_context().run_id)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await pause_flow_run(int)
            assert (await get_client().read_flow_run(ids[0])).state.name == "Running"
            assert await get_client().read_pause(ids[0]) is None
            with pytest.raises(NotPaused):
                await resume_flow_run(ids[0], {"value": 1})
        return 7

    assert await impatient() == 7
    assert (await get_client().read_flow_run(ids[0])).state.name == "Completed"
    assert await pause_states(ids[0], "1", "2") == ["cancelled", "cancelled"]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_flow_timeout_in_a_pause_is_retried(server: Server, is_async: bool) -> None:
    """It is the flow that failed, whatever it waited for; its last retry fails the run."""
    calls: list[UUID] = []

    @flow(timeout_seconds=0.3, retries=2)
    def ask() -> None:
        calls.append(get_run_context().run_id)
        pause_flow_run(int)

    @flow(timeout_seconds=0.3, retries=2)
    async def ask_async() -> None:
        calls.append(get_run_context().run_id)
        await pause_flow_run(int)

    with pytest.raises(FlowTimeout):
        asyncio.run(ask_async()) if is_async else ask()
    assert len(calls) == 3
    run = block(lambda: get_client().read_flow_run(calls[0]))
    assert (run.state.name, run.retry) == ("Failed", 2)
    assert waiting_runs() == []


def test_a_pause_of_an_earlier_execution_is_in_nobodys_way(start_worker: StartWorker) -> None:
    """A flow that comes by another way when it runs again asks what it has to ask there."""
    first = start_worker("turn")
    run_id = started("turn/x")
    until(lambda: state_of(run_id) == "Paused")
    first.kill()
    first.wait()
    start_worker("turn")
    until(lambda: read_key(run_id) not in {None, str(first.pid)})
    answer(run_id, 5)
    assert result_of(run_id) == 5
    assert block(lambda: pause_states(run_id, str(first.pid))) == ["cancelled"]


def read_key(run_id: UUID) -> str | None:
    return block(lambda: get_client().read_flow_run(run_id)).pause


async def test_an_old_execution_refuses_no_answer(valkey: Server) -> None:
    """What an execution writes carries its epoch, so the answer of its successor stands."""
    bus, run_id = current_bus(), uuid4()
    await created(run_id, {"flow": "f", "deployment": "f/x"})
    run = await claimed(run_id, "one")
    assert run is not None
    form, epoch = pause_opening.Form(), run.epoch
    opened = await open_pause(bus, run_id, "1", form, timeout=None, retry=0, epoch=epoch)
    await resume_flow_run(run_id)
    await handed_back(run)
    assert await claimed(run_id, "two")
    why = pause_opening.Refused(generation=opened.generation, problems=b"[]", veiled=b"[]")
    for write in (
        pause_opening.refuse(bus, run_id, opened, why),
        pauses.withdraw(bus, run_id, "1", epoch),
        pauses.expire(bus, run_id, "1", opened.generation, epoch),
        runs.move(bus, run, "Suspended", epoch=epoch),
    ):
        with pytest.raises(RunLost):
            await write
    assert await ended(run, "Completed") == ("LOST", "Running")
    assert await pause_states(run_id, "1") == ["answered"]
    await runs.move(bus, run, "Crashed")


# --- Suspended from outside ------------------------------------------------------------------


def test_a_run_suspended_in_the_middle_of_its_code_can_be_resumed(
    start_worker: StartWorker,
) -> None:
    """It waits for somebody, and is listed so; no answer is asked to go on."""
    start_worker("spin")
    observer = uuid4()
    run_id = started("spin/x", {"observer": str(observer)})
    told = receive_input(str, flow_run_id=observer, timeout=PATIENCE)
    assert told.next() == "spinning"
    suspend_flow_run(flow_run_id=run_id)
    until(lambda: state_of(run_id) == "Suspended")
    assert waiting_runs() == [run_id]
    resume_flow_run(run_id)
    assert waiting_runs() == []
    send_input("now", run_id, key_prefix="end")
    assert result_of(run_id) == "ended"
    with pytest.raises(NotPaused):
        resume_flow_run(run_id)


def test_a_scheduled_run_is_suspended_at_once(start_worker: StartWorker) -> None:
    """No worker takes it before it is resumed."""
    worker = start_worker("double")
    first = started("double/x", {"number": 1})
    assert result_of(first) == 2
    worker.kill()
    worker.wait()
    run_id = run_deployment("double/x", {"number": 2}, timeout=0).id
    suspend_flow_run(flow_run_id=run_id)
    assert state_of(run_id) == "Suspended"
    start_worker("double")
    assert result_of(started("double/x", {"number": 3})) == 6
    assert state_of(run_id) == "Suspended"
    resume_flow_run(run_id)
    assert result_of(run_id) == 4


# --- Cancelled -------------------------------------------------------------------------------


async def unattended(state: str) -> UUID:
    """Make a run that no process executes."""
    bus, run_id = current_bus(), uuid4()
    await deployments.register(bus, "f/x", {"flow": "f"})
    await created(run_id, {"flow": "f", "deployment": "f/x"})
    if state != "Scheduled":
        run = await claimed(run_id, "one")
        assert run is not None
        retry = 1 if state == "Pending" else None
        assert await ended(run, state, retry=retry) == ("ENDED", state)
    return run_id


@pytest.mark.keys_without_lifetime
@pytest.mark.parametrize("state", ["Scheduled", "Suspended", "Pending"])
async def test_a_run_that_nobody_executes_is_cancelled_at_once(valkey: Server, state: str) -> None:
    """There is nobody to ask, so it never is `Cancelling`."""
    run_id = await unattended(state)
    await cancel_flow_run(run_id)
    assert (await get_client().read_flow_run(run_id)).state.name == "Cancelled"
    assert await get_client().read_waiting() == []
    with pytest.raises(AlreadyEnded):
        await cancel_flow_run(run_id)


@pytest.mark.keys_without_lifetime
async def test_a_run_that_changes_hands_while_it_is_cancelled(valkey: Server) -> None:
    """Claimed and handed back in between, it is cancelled one way or the other."""
    for _ in range(30):
        run_id = await unattended("Scheduled")
        cancelling = asyncio.create_task(cancel_flow_run(run_id))
        for _ in range(3):
            run = await claimed(run_id, "one")
            if run is None:
                break
            # One that is to be cancelled is not handed back: it ends.
            assert (await ended(run, "Scheduled"))[0] == "ENDED"
        await cancelling
        assert (await get_client().read_flow_run(run_id)).state.name == "Cancelled"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_run_is_cancelled_between_two_retries(server: Server, is_async: bool) -> None:
    """It does not wait for the next retry to hear of it."""
    ids: list[UUID] = []

    def fail() -> None:
        ids.append(get_run_context().run_id)
        raise ValueError("again")

    @flow(retries=1, retry_delay_seconds=60)
    def stubborn() -> None:
        fail()

    @flow(retries=1, retry_delay_seconds=60)
    async def stubborn_async() -> None:
        fail()

    def cancel() -> None:
        until(lambda: ids and state_of(ids[0]) == "Pending")
        cancel_flow_run(ids[0])
        assert state_of(ids[0]) == "Cancelled"

    canceller = threading.Thread(target=cancel)
    canceller.start()
    begun = time.monotonic()
    with pytest.raises(FlowRunCancelled):
        asyncio.run(stubborn_async()) if is_async else stubborn()
    canceller.join()
    assert time.monotonic() - begun < PATIENCE
    assert len(ids) == 1


def test_a_flow_that_blocks_its_loop_is_told_at_its_next_verb(server: Server) -> None:
    """The word is heard beside the flow's loop, so the very next verb ends the run."""
    ids: list[UUID] = []

    @flow
    async def busy() -> None:
        context = get_run_context()
        ids.append(context.run_id)
        deadline = time.monotonic() + PATIENCE
        while context.interrupt is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)  # noqa: ASYNC251
        await send_input("too late", ids[0])
        pytest.fail("it went on")

    def cancel() -> None:
        until(lambda: ids)
        cancel_flow_run(ids[0])

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(FlowRunCancelled):
        asyncio.run(busy())
    canceller.join()
    assert state_of(ids[0]) == "Cancelled"


# --- Handed back, and long delays ------------------------------------------------------------


def test_a_run_handed_back_while_it_waits_can_be_answered(start_worker: StartWorker) -> None:
    """It is listed as waiting while no process has it, and its answer is found when one does."""
    worker = start_worker("sync-shop")
    run_id = started("sync-shop/x", {"item": "tea"})
    until(lambda: state_of(run_id) == "Paused")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) == 0
    assert (state_of(run_id), waiting_runs()) == ("Scheduled", [run_id])
    answer(run_id, 3)
    assert waiting_runs() == []
    start_worker("sync-shop")
    until(lambda: state_of(run_id) == "Suspended")
    answer(run_id, True)
    assert result_of(run_id) == ["tea", 3, True]


def test_a_run_that_begins_to_wait_while_its_worker_ends_is_handed_back(
    start_worker: StartWorker,
) -> None:
    """The grace time is for those that execute: who waits then need not stay until its end."""
    worker, observer = start_worker("pause-late"), uuid4()
    run_id = started("pause-late/x", {"observer": str(observer)})
    assert receive_input(str, flow_run_id=observer, timeout=PATIENCE).next() == "working"
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(GRACE_SECONDS / 2) == 0
    assert (state_of(run_id), waiting_runs()) == ("Scheduled", [run_id])
    cancel_flow_run(run_id)


def test_a_run_that_waits_long_for_its_retry_is_kept(start_worker: StartWorker) -> None:
    """The lease is renewed between two calls of the flow, too."""
    first = start_worker("retry-late")
    run_id = started("retry-late/x", {"observer": str(uuid4())})
    until(lambda: state_of(run_id) == "Pending")
    start_worker("retry-late")
    assert result_of(run_id) == first.pid
    run = wait_for_flow_run(run_id)
    assert (run.epoch.partition("-")[0], run.retry) == ("1", 1)
