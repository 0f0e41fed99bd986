"""Flows that are cancelled: the error comes where they wait, and they have time to clean up."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

import anyio
import pytest
from faults import PATIENCE, started, state_of, until

from runbus import (
    bound_run,
    cancel_flow_run,
    flow,
    get_client,
    get_run_context,
    get_run_logger,
    pause_flow_run,
    receive_input,
    send_input,
    wait_for_flow_run,
)
from runbus.background.bridge import run as block
from runbus.errors import FlowRunCancelled
from runbus.execution import run_context
from runbus.execution.current_run import running_flow
from runbus.execution.run_context import RunningFlow
from runbus.settings import temporary_settings
from runbus.store.bus import current_bus
from runbus.store.records import control, runs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from faults import StartWorker
    from servers import Server


async def sleep() -> None:
    await asyncio.sleep(PATIENCE)


async def pause() -> None:
    await pause_flow_run(int)


async def receive() -> None:
    await anext(receive_input(int))


async def gather() -> None:
    await asyncio.gather(sleep(), receive())


async def in_thread() -> None:
    await asyncio.to_thread(lambda: receive_input(int).next())


@flow
async def called() -> None:
    try:
        await sleep()
    except FlowRunCancelled:
        await send_input("called", get_run_context().run_id, key_prefix="undone")
        raise


async def call() -> None:
    await called()


async def scope() -> None:
    with anyio.fail_after(PATIENCE):
        await anyio.sleep(PATIENCE)


WAITS = [sleep, pause, receive, gather, in_thread, call, scope]


async def cancelled_while(work: Callable[[], Awaitable[object]], begun: asyncio.Event) -> None:
    """Cancel the run of a flow that is under way; it ends as one that was cancelled."""
    task = asyncio.ensure_future(work())  # type: ignore[arg-type]
    await begun.wait()
    (run,) = await get_client().read_flow_runs(flow_name="outer")
    await asyncio.sleep(0.1)
    await cancel_flow_run(run.id)
    with pytest.raises(FlowRunCancelled):
        await task
    assert task.cancelling() == 0
    assert (await get_client().read_flow_run(run.id)).state.name == "Cancelled"


@pytest.mark.parametrize("wait", WAITS)
async def test_an_async_flow_cleans_up(valkey: Server, wait: Callable[[], Awaitable[None]]) -> None:
    """Wherever it waits, it gets the error once, and may send, receive what is there, and log."""
    other, begun, seen = uuid4(), asyncio.Event(), list[Any]()

    @flow
    async def outer() -> None:
        run_id = get_run_context().run_id
        await send_input("kept", run_id)
        begun.set()
        try:
            await wait()
        except FlowRunCancelled:
            get_run_logger().warning("cleaning up")
            seen.append(
                [word async for word in receive_input(str, timeout=0, raise_timeout_error=False)]
            )
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(PATIENCE)
            await asyncio.gather(asyncio.sleep(0.2), asyncio.to_thread(send_input, "thread", other))
            send_input("refund", other)  # it is sent before the run ends
            raise

    await cancelled_while(outer, begun)
    assert seen == [["kept"]]
    async with bound_run(other):
        undone = receive_input(str, timeout=0, raise_timeout_error=False)
        assert [word async for word in undone] == ["thread", "refund"]
    (run,) = await get_client().read_flow_runs(flow_name="outer")
    assert "cleaning up" in [line.message for line in await get_client().read_logs(run.id)]


async def in_group(work: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(work())  # type: ignore[arg-type]


async def in_anyio_group(work: Callable[[], Awaitable[None]]) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(work)


async def in_time(work: Callable[[], Awaitable[None]]) -> None:
    await asyncio.wait_for(work(), PATIENCE)


@pytest.mark.parametrize("waited", [in_group, in_anyio_group, in_time])
async def test_what_is_waited_for_at_its_end_ends_first(valkey: Server, waited: Any) -> None:
    """The tasks of a group do not go on when the flow has been told."""
    begun, seen = asyncio.Event(), list[str]()

    async def work() -> None:
        begun.set()
        try:
            await sleep()
        finally:
            seen.append("task")

    @flow
    async def outer() -> None:
        try:
            await waited(work)
        except FlowRunCancelled:
            seen.append("flow")
            await send_input("refund", uuid4())
            raise

    await cancelled_while(outer, begun)
    assert seen == ["task", "flow"]


async def test_two_say_it_at_once(valkey: Server) -> None:
    """A flow that is told by a signal and by what the server says is cancelled once."""
    begun, seen = list[RunningFlow](), list[int]()

    @flow
    async def outer() -> None:
        begun.append(running_flow("the test"))
        try:
            await sleep()
        except FlowRunCancelled:
            await asyncio.sleep(0)
            seen.append(cast("asyncio.Task[None]", asyncio.current_task()).cancelling())
            raise

    task = asyncio.ensure_future(outer())
    async with asyncio.timeout(PATIENCE):
        while not begun:
            await asyncio.sleep(0.01)
    for _ in range(2):
        begun[0].end(FlowRunCancelled(begun[0].run_id))
    with pytest.raises(FlowRunCancelled):
        await task
    assert seen == [0]


async def test_the_server_says_it_before_a_signal(valkey: Server) -> None:
    """A pause that finds its run cancelled is the one time that the flow is told."""
    begun, moved, cleaning = asyncio.Event(), asyncio.Event(), asyncio.Event()
    seen = list[Any]()

    @flow
    async def outer() -> None:
        begun.set()
        await moved.wait()
        try:
            await pause_flow_run(int)
        except FlowRunCancelled:
            cleaning.set()
            seen.append(await anext(receive_input(str, timeout=PATIENCE)))
            raise

    task = asyncio.ensure_future(outer())
    await begun.wait()
    (run,) = await get_client().read_flow_runs(flow_name="outer")
    await runs.move(current_bus(), run, "Cancelling")
    moved.set()
    await cleaning.wait()
    await control.signal(current_bus(), run.id, "cancel")
    await asyncio.sleep(0.2)  # it comes while the flow cleans up
    await send_input("kept", run.id)
    with pytest.raises(FlowRunCancelled):
        await task
    assert seen == ["kept"]


def test_a_pause_is_the_first_verb_that_says_it(valkey: Server) -> None:
    """A flow that blocks its loop when it is cancelled, and asks then, cleans up like any other."""
    begun, cancelled, seen = list[RunningFlow](), threading.Event(), list[Any]()

    @flow
    async def outer() -> None:
        run = running_flow("the test")
        await send_input("kept", run.run_id)
        begun.append(run)
        cancelled.wait(PATIENCE)
        try:
            await pause_flow_run(int)
        except FlowRunCancelled:
            seen.append(await anext(receive_input(str, timeout=PATIENCE)))
            raise

    def call() -> None:
        with pytest.raises(FlowRunCancelled):
            asyncio.run(outer())

    thread = threading.Thread(target=call)
    thread.start()
    until(lambda: begun)
    cancel_flow_run(begun[0].run_id)
    until(lambda: begun[0].interrupt is not None)
    cancelled.set()
    thread.join(PATIENCE)
    assert seen == ["kept"]


async def test_a_called_flow_cleans_up_first(valkey: Server) -> None:
    """Both get the error once, the inner one first."""
    order: list[str] = []
    begun = asyncio.Event()

    @flow
    async def inner() -> None:
        begun.set()
        try:
            await sleep()
        except FlowRunCancelled:
            await asyncio.sleep(0.2)
            order.append("inner")
            raise

    @flow
    async def outer() -> None:
        try:
            await inner()
        except FlowRunCancelled:
            await asyncio.sleep(0.2)
            order.append("outer")
            raise

    await cancelled_while(outer, begun)
    assert order == ["inner", "outer"]


async def test_a_flow_that_swallows_it(valkey: Server) -> None:
    """Whatever it returns then, its run was cancelled; and it cannot ask anybody any more."""
    begun, seen = asyncio.Event(), list[BaseException]()

    @flow
    async def outer() -> str:
        begun.set()
        try:
            await sleep()
        except FlowRunCancelled:
            try:
                await pause_flow_run(int)
            except BaseException as error:
                seen.append(error)
        return "done all the same"

    await cancelled_while(outer, begun)
    assert [type(error) for error in seen] == [FlowRunCancelled]


async def test_a_task_group(valkey: Server) -> None:
    """It comes in a group of errors there, as any error does, and the run was cancelled."""
    begun, seen = asyncio.Event(), list[str]()

    @flow
    async def outer() -> None:
        begun.set()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(sleep())
                group.create_task(receive())
                await sleep()
        except* FlowRunCancelled:
            seen.append("group")
            raise

    await cancelled_while(outer, begun)
    assert seen == ["group"]


async def test_a_flow_that_is_busy(valkey: Server) -> None:
    """It gets the error from its next verb, and not once more where it cleans up."""
    begun, seen = asyncio.Event(), list[str]()
    busy, cancelled = threading.Event(), threading.Event()

    @flow
    async def outer() -> None:
        run = get_run_context()
        begun.set()
        await asyncio.to_thread(lambda: None)
        busy.set()
        cancelled.wait(PATIENCE)
        try:
            send_input(1, run.run_id)
        except FlowRunCancelled:
            await asyncio.sleep(0.3)
            seen.append("clean")
            raise

    def cancel() -> None:
        busy.wait(PATIENCE)
        (run,) = block(lambda: get_client().read_flow_runs(flow_name="outer"))
        cancel_flow_run(run.id)
        threading.Event().wait(0.3)
        cancelled.set()

    other = threading.Thread(target=cancel)
    other.start()
    with pytest.raises(FlowRunCancelled):
        await outer()
    other.join()
    assert seen == ["clean"]


async def test_the_time_is_over(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What still cleans up then gets the error again, and so do its verbs."""
    monkeypatch.setattr(run_context, "CLEAN_UP_SECONDS", 0.3)
    begun, seen = asyncio.Event(), list[str]()

    @flow
    async def outer() -> None:
        begun.set()
        try:
            await sleep()
        except FlowRunCancelled:
            try:
                await sleep()
            except FlowRunCancelled:
                seen.append("again")
                send_input(1, uuid4())

    await cancelled_while(outer, begun)
    assert seen == ["again"]


def cancelled_in_a_thread(
    outer: Callable[[], None],
    ids: list[UUID],
    seen: list[Any],
    waits: Callable[[], object] | None = None,
) -> None:
    """Cancel a sync flow as soon as it waits (pauses, by default); its caller sees it."""

    def call() -> None:
        with pytest.raises(FlowRunCancelled):
            outer()
        seen.append("raised")

    thread = threading.Thread(target=call)
    thread.start()
    until(waits or (lambda: ids and state_of(ids[0]) == "Paused"))
    cancel_flow_run(ids[0])
    thread.join(PATIENCE)


def test_a_sync_flow_cleans_up(valkey: Server) -> None:
    """So does one whose thread waits in a verb."""
    other, ids, seen = uuid4(), list[UUID](), list[Any]()

    @flow
    def outer() -> None:
        ids.append(get_run_context().run_id)
        send_input("kept", ids[0])
        try:
            pause_flow_run(int)
        except FlowRunCancelled:
            get_run_logger().warning("cleaning up")
            seen.append(receive_input(str, timeout=5).next())
            send_input("refund", other)
            raise

    cancelled_in_a_thread(outer, ids, seen)
    assert seen == ["kept", "raised"]
    assert state_of(ids[0]) == "Cancelled"
    with bound_run(other):
        assert receive_input(str, timeout=0).next() == "refund"


def test_a_called_sync_flow_cleans_up_first(valkey: Server) -> None:
    """Then its caller does, in the same thread: each is told once."""
    other, ids, seen = uuid4(), list[UUID](), list[Any]()

    @flow
    def inner() -> None:
        try:
            receive_input(str, timeout=PATIENCE).next()
        except FlowRunCancelled:
            send_input("inner", other)
            raise

    @flow
    def outer() -> None:
        ids.append(get_run_context().run_id)
        try:
            inner()
        except FlowRunCancelled:
            send_input("outer", other)
            raise

    def waits() -> bool:
        return len(block(lambda: get_client().read_flow_runs(flow_name="inner"))) == 1

    cancelled_in_a_thread(outer, ids, seen, waits)
    assert seen == ["raised"]
    with bound_run(other):
        inbox = receive_input(str, timeout=0)
        assert [inbox.next(), inbox.next()] == ["inner", "outer"]


async def test_what_is_held_is_sent_by_who_cleans_up(own_server: Server) -> None:
    """A run that is cancelled while it is not known if it is still here sends what it has sent."""
    other, begun = uuid4(), list[RunningFlow]()

    @flow
    async def outer() -> None:
        begun.append(run := running_flow("the test"))
        while not run.is_doubtful:
            await asyncio.sleep(0.01)
        send_input(1, other)
        begun.append(run)
        try:
            await sleep()
        except FlowRunCancelled:
            send_input(2, other)
            raise

    with temporary_settings(url=own_server.url, lease_seconds=1):
        task = asyncio.ensure_future(outer())
        async with asyncio.timeout(PATIENCE):
            while not begun:
                await asyncio.sleep(0.01)
            own_server.freeze()
            while len(begun) < 2:
                await asyncio.sleep(0.01)
        begun[0].end(FlowRunCancelled(begun[0].run_id))
        await asyncio.sleep(0.1)
        own_server.thaw()
        with pytest.raises(FlowRunCancelled):
            await task
        async with bound_run(other):
            inbox = receive_input(int, timeout=5)
            assert [await anext(inbox), await anext(inbox)] == [1, 2]


def test_a_sync_flow_whose_time_is_over(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb that waits longer than a clean-up may last leaves with the error."""
    monkeypatch.setattr(run_context, "CLEAN_UP_SECONDS", 0.3)
    ids, seen = list[UUID](), list[Any]()

    @flow
    def outer() -> None:
        ids.append(get_run_context().run_id)
        try:
            pause_flow_run(int)
        except FlowRunCancelled:
            try:
                receive_input(str).next()
            except FlowRunCancelled:
                seen.append("again")
                raise

    cancelled_in_a_thread(outer, ids, seen)
    assert seen == ["again", "raised"]


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
@pytest.mark.parametrize("name", ["compensate", "sync-compensate"])
def test_a_served_flow_cleans_up(start_worker: StartWorker, name: str) -> None:
    """The worker goes on with others meanwhile, and its limit holds."""
    start_worker(name, limit=1)
    other = uuid4()
    run_id = started(f"{name}/x", {"other": str(other)})
    until(lambda: state_of(run_id) == "Paused")
    cancel_flow_run(run_id)
    assert wait_for_flow_run(run_id, timeout=PATIENCE).state.name == "Cancelled"
    with bound_run(other):
        assert receive_input(str, timeout=0).next() == "refund"
    assert "refunded" in [line.message for line in block(lambda: get_client().read_logs(run_id))]
