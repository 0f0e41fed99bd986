"""Users' own anyio around each verb: scopes, task groups, threads; nothing is lost by any."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
import uvloop

from runbus import (
    flow,
    get_client,
    get_run_context,
    pause_flow_run,
    receive_input,
    resume_flow_run,
    send_input,
)
from runbus.errors import NotPaused

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from servers import Server

PATIENCE = 20
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
pytestmark = [
    pytest.mark.parametrize("server", ["valkey"], indirect=True),
    pytest.mark.parametrize("loop", LOOPS),
]


def on(loop: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Do the work on a loop of this kind, in time."""

    async def in_time() -> Any:
        with anyio.fail_after(PATIENCE):
            return await work()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(in_time())


async def answer(run_id: UUID, value: object) -> None:
    """Answer a run as soon as it waits."""
    while True:
        try:
            return await resume_flow_run(run_id, {"value": value})
        except NotPaused:
            await anyio.sleep(0.01)


def test_a_deadline_around_a_receiver(server: Server, loop: str) -> None:
    """`fail_after` and `move_on_after` end the wait, and what comes later is received."""

    async def work() -> list[int]:
        run_id = uuid4()
        inbox = receive_input(int, flow_run_id=run_id, timeout=None)
        with pytest.raises(TimeoutError), anyio.fail_after(0.05):
            await inbox.next()
        with anyio.move_on_after(0.05) as scope:
            async for _ in inbox:
                pass
        assert scope.cancelled_caught
        for number in range(3):
            await send_input(number, run_id)
        return [await inbox.next() for _ in range(3)]

    assert on(loop, work) == [0, 1, 2]


def test_a_scope_that_is_cancelled_at_any_moment_loses_no_input(server: Server, loop: str) -> None:
    """Receivers are cancelled while inputs arrive: each is received once, in order."""

    async def work() -> list[int]:
        run_id, count, received = uuid4(), 60, list[int]()
        inbox = receive_input(int, flow_run_id=run_id, timeout=None)

        async def send() -> None:
            for number in range(count):
                await send_input(number, run_id)
                await anyio.sleep(0.001)

        async with anyio.create_task_group() as group:
            group.start_soon(send)
            moment = 0.0
            while len(received) < count:
                moment = (moment + 0.0007) % 0.005
                with anyio.move_on_after(moment):
                    received.append(await inbox.next())
        return received

    assert on(loop, work) == list(range(60))


def test_a_deadline_around_a_pause(server: Server, loop: str) -> None:
    """The question is withdrawn, and the flow asks another one."""

    async def work() -> str:
        ids: list[UUID] = []

        @flow
        async def ask() -> str:
            ids.append(get_run_context().run_id)
            with anyio.move_on_after(0.2):
                return await pause_flow_run(str, key="first")
            assert await get_client().read_pause(ids[0]) is None
            return await pause_flow_run(str, key="second")

        async with anyio.create_task_group() as group:
            group.start_soon(lambda: until_asked(ids, "second"))
            return await ask()

    async def until_asked(ids: list[UUID], key: str) -> None:
        while (
            not ids
            or (found := await get_client().read_pause(ids[0])) is None
            or (found.key != key)
        ):
            await anyio.sleep(0.01)
        await answer(ids[0], "yes")

    assert on(loop, work) == "yes"


def test_a_send_in_a_cancelled_scope_is_stored_or_not(server: Server, loop: str) -> None:
    """Cancelled while it is under way, it arrives once at most; a shielded one arrives."""

    async def work() -> list[int]:
        run_id = uuid4()
        with anyio.CancelScope() as scope:
            scope.cancel()
            try:
                await send_input(1, run_id, key="a")
            finally:
                with anyio.CancelScope(shield=True):
                    await send_input(2, run_id, key="b")
        await send_input(1, run_id, key="a")
        inbox = receive_input(int, flow_run_id=run_id, timeout=0, raise_timeout_error=False)
        return [number async for number in inbox]

    assert sorted(on(loop, work)) == [1, 2]


def test_a_task_group_in_a_flow(server: Server, loop: str) -> None:
    """Tasks of a group send in the flow's name; one that fails ends the others' waits."""

    async def work() -> None:
        observer = uuid4()

        @flow
        async def share() -> UUID:
            async def tell(number: int) -> None:
                await send_input(number, observer)

            async def wait_for_ever() -> None:
                await receive_input(str, timeout=None).next()

            async def fail() -> None:
                await anyio.sleep(0.1)
                raise ZeroDivisionError

            async with anyio.create_task_group() as group:
                for number in range(3):
                    group.start_soon(tell, number)
            with pytest.raises(ExceptionGroup) as raised:
                async with anyio.create_task_group() as group:
                    group.start_soon(wait_for_ever)
                    group.start_soon(fail)
            assert raised.value.subgroup(ZeroDivisionError) is not None
            return get_run_context().run_id

        run_id = await share()
        inbox = receive_input(int, flow_run_id=observer, with_metadata=True, timeout=PATIENCE)
        received = [await inbox.next() for _ in range(3)]
        assert sorted(each.value for each in received) == [0, 1, 2]
        assert {each.metadata.sender for each in received} == {str(run_id)}

    on(loop, work)


def test_verbs_in_worker_threads(server: Server, loop: str) -> None:
    """`to_thread` code blocks in a verb, as part of the flow; `from_thread` comes back to it."""

    async def work() -> tuple[int, str]:
        ids: list[UUID] = []

        def blocking(run_id: UUID) -> int:
            send_input("from a thread", run_id)
            anyio.from_thread.run(send_on_the_loop, run_id)
            return int(pause_flow_run(int))

        async def send_on_the_loop(run_id: UUID) -> None:
            await send_input("from the loop", run_id)

        @flow
        async def split() -> tuple[int, str]:
            run_id = get_run_context().run_id
            ids.append(run_id)
            number = await anyio.to_thread.run_sync(blocking, run_id)
            inbox = receive_input(str, timeout=PATIENCE)
            return number, f"{await inbox.next()}, {await inbox.next()}"

        async def answer_it() -> None:
            while not ids:
                await anyio.sleep(0.01)
            await answer(ids[0], 7)

        async with anyio.create_task_group() as group:
            group.start_soon(answer_it)
            return await split()

    assert on(loop, work) == (7, "from a thread, from the loop")


def test_clean_up_of_a_cancelled_flow_may_await(server: Server, loop: str) -> None:
    """A scope around a flow cancels again and again; what is shielded is done all the same."""

    async def work() -> None:
        observer, ids = uuid4(), list[UUID]()

        @flow
        async def tidy() -> None:
            ids.append(get_run_context().run_id)
            try:
                await receive_input(str, timeout=None).next()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.05)
                    await send_input("tidied", observer)

        with anyio.move_on_after(0.3) as scope:
            await tidy()
        assert scope.cancelled_caught
        assert await receive_input(str, flow_run_id=observer, timeout=PATIENCE).next() == "tidied"
        run = await get_client().wait_for_flow_run(ids[0], timeout=PATIENCE)
        assert run.state.name == "Crashed"

    on(loop, work)
