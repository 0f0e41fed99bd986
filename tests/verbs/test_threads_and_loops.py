"""Threads, event loops, forks and signals: wherever the verbs are called from, they work.

What ends a process or ends with it runs as a script of its own, with every warning shown: at a
normal exit nothing may be printed that the script did not print.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from runbus import RunInput, bound_run, receive_input, send_input
from runbus.background import bridge
from runbus.errors import MissingAwait, ReceiveTimeout, StreamFull, WrongSyntax
from runbus.execution.current_run import current_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers import Server

    Configure = Callable[..., None]
    StartScript = Callable[..., subprocess.Popen[str]]
    RunScript = Callable[..., subprocess.CompletedProcess[str]]


def all_now(input_type: Any, run_id: UUID) -> list[Any]:
    inbox = receive_input(input_type, timeout=0, raise_timeout_error=False, flow_run_id=run_id)
    return list(inbox)


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Do the work in so many threads at once; raise what went wrong in any of them."""
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Wait for what another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


# --- Threads ---------------------------------------------------------------------------------


def test_a_plain_thread(valkey: Server) -> None:
    """The sync verbs work in a thread that is not the main one."""
    run_id = uuid4()
    received: list[int] = []

    def work(_: int) -> None:
        with bound_run(run_id):
            send_input(1, run_id)
            received.append(receive_input(int, timeout=5).next())

    in_threads(1, work)
    assert received == [1]


def test_many_threads_at_once(valkey: Server) -> None:
    """Forty threads talk to each other in pairs, each in its own run."""
    runs = [uuid4() for _ in range(40)]
    received: dict[int, list[int]] = {}

    def work(number: int) -> None:
        with bound_run(runs[number]):
            for value in range(20):
                send_input(value, runs[number ^ 1])
            inbox = receive_input(int, timeout=20)
            received[number] = [inbox.next() for _ in range(20)]

    in_threads(len(runs), work)
    assert received == {number: list(range(20)) for number in range(len(runs))}


def test_threads_that_wait_for_one_input(valkey: Server) -> None:
    """However many threads are blocked on one run, each of them gets the input."""
    run_id = uuid4()
    received: list[int] = []

    def work(number: int) -> None:
        if number == 0:
            send_input(7, run_id)
        received.append(receive_input(int, flow_run_id=run_id, timeout=20).next())

    in_threads(60, work)
    assert received == [7] * 60


def test_threads_that_share_an_inbox(valkey: Server) -> None:
    """Threads that take from one inbox share its inputs: each goes to one of them."""
    run_id = uuid4()
    count = 4000

    async def fill() -> None:
        for number in range(count):
            sent = send_input(number, run_id)
        await sent

    asyncio.run(fill())
    inbox = receive_input(int, flow_run_id=run_id, timeout=0, raise_timeout_error=False)
    received: list[int] = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        in_threads(4, lambda _: received.extend(inbox))
    finally:
        sys.setswitchinterval(interval)
    assert sorted(received) == list(range(count))


def test_a_thread_takes_what_came_before_it_waits(
    valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What arrives after a thread looked and before it waits is at hand, and not waited for."""
    run_id = uuid4()
    send_input("small", run_id)
    for _ in range(20):
        send_input(["large" * 40_000], run_id)
    run = bridge.run

    def run_late(*work: Any, **options: Any) -> Any:
        time.sleep(0.1)  # as if the thread were slow just here
        return run(*work, **options)

    monkeypatch.setattr(bridge, "run", run_late)
    inbox = receive_input(str | list[str], flow_run_id=run_id, timeout=2)
    assert len([inbox.next() for _ in range(21)]) == 21


async def test_a_thread_of_a_loop(valkey: Server) -> None:
    """`asyncio.to_thread` takes the run along, and the sync verbs work there."""
    run_id, other = uuid4(), uuid4()
    async with bound_run(run_id):
        await asyncio.to_thread(send_input, "from a thread", other)
        waiting = asyncio.create_task(asyncio.to_thread(receive_input(int, timeout=10).next))
        await send_input(5, run_id)
        assert await waiting == 5
    inbox = receive_input(str, flow_run_id=other, timeout=5, with_metadata=True)
    assert (await anext(inbox)).metadata.sender == str(run_id)


async def test_a_run_ends_after_the_sends_of_its_threads(own_server: Server) -> None:
    """The end of a run waits for a send that a thread of the run has under way, and not longer."""
    other = uuid4()
    await asyncio.to_thread(send_input, 0, other)
    thawing = threading.Timer(0.2, own_server.thaw)
    try:
        async with asyncio.timeout(3):
            async with bound_run(uuid4()) as run:
                own_server.freeze()
                work = contextvars.copy_context().run
                thread = threading.Thread(target=work, args=(send_input, 1, other))
                thread.start()
                while not run._unsettled:
                    await asyncio.sleep(0.001)
                thawing.start()
                started = time.monotonic()
            assert time.monotonic() - started < 1
    finally:
        own_server.thaw()
    thread.join(2)
    assert not thread.is_alive()


# --- Syntax ----------------------------------------------------------------------------------


async def test_for_on_a_loop(valkey: Server) -> None:
    """`for` on a loop's thread would block the loop: the error says `async for`."""
    with pytest.raises(WrongSyntax, match="async for") as raised:
        for _ in receive_input(int, flow_run_id=uuid4(), timeout=0):
            pass
    assert isinstance(raised.value, TypeError)
    with pytest.raises(WrongSyntax):
        list(receive_input(int, flow_run_id=uuid4(), timeout=0))


async def test_the_built_in_next_on_a_loop(valkey: Server) -> None:
    """The built-in `next` would block the loop just so, and is refused."""
    with pytest.raises(WrongSyntax):
        next(receive_input(int, flow_run_id=uuid4(), timeout=0.05))


async def test_with_on_a_loop() -> None:
    """`with bound_run` on a loop's thread is an error that says `async with`."""
    with pytest.raises(WrongSyntax, match="async with"), bound_run(uuid4()):
        pass
    assert current_run() is None


async def test_a_result_that_is_not_awaited_is_no_value(valkey: Server) -> None:
    """What `next()` returns on a loop is good for nothing but `await`."""
    run_id = uuid4()
    await send_input(5, run_id)
    result: Any = receive_input(int, flow_run_id=run_id, timeout=5).next()
    uses: list[Callable[[], Any]] = [
        lambda: bool(result),
        lambda: not result,
        lambda: result == 5,
        lambda: result != 5,
        lambda: result < 5,
        lambda: list(result),
        lambda: len(result),
        lambda: result[0],
        lambda: int(result),
        lambda: 5 in result,
    ]
    for use in uses:
        with pytest.raises(MissingAwait, match=r"await next\(\)"):
            use()
    assert await result == 5


async def test_a_result_that_is_never_awaited_fails_the_run(valkey: Server) -> None:
    """A forgotten `await` is found at the end of the run at the latest."""
    run_id = uuid4()
    with pytest.raises(MissingAwait, match="await next"):
        async with bound_run(run_id):
            receive_input(int, timeout=0).next()
    with pytest.raises(ZeroDivisionError):  # an error of the run's own comes first
        async with bound_run(run_id):
            receive_input(int, timeout=0).next()
            _ = 1 / 0
    async with bound_run(run_id):
        with pytest.raises(ReceiveTimeout):
            await receive_input(int, timeout=0).next()


async def test_results_go_where_awaitables_go(valkey: Server) -> None:
    """`gather`, `wait_for` and `ensure_future` take results and receipts."""
    run_id = uuid4()
    sent, number = await asyncio.gather(
        send_input(1, run_id), receive_input(int, flow_run_id=run_id, timeout=5).next()
    )
    assert (sent.stream, number) == ("int", 1)
    text = receive_input(str, flow_run_id=run_id, timeout=None).next()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(text, 0.01)
    future = asyncio.ensure_future(send_input(2, run_id))
    assert (await future).entry_id


# --- Loops -----------------------------------------------------------------------------------


def test_several_loops_one_after_the_other(valkey: Server) -> None:
    """Each `asyncio.run` is as good as the first."""
    run_id = uuid4()

    async def talk(number: int) -> int:
        send_input(number, run_id, key_prefix=f"round {number}")
        inbox = receive_input(int, flow_run_id=run_id, timeout=5, key_prefix=f"round {number}")
        return await anext(inbox)

    assert [asyncio.run(talk(number)) for number in range(10)] == list(range(10))


def test_several_loops_at_once(valkey: Server) -> None:
    """Loops in different threads talk to each other, and to threads without a loop."""
    runs = [uuid4() for _ in range(12)]
    received: dict[int, int] = {}

    async def talk(number: int) -> None:
        async with bound_run(runs[number]):
            send_input(number, runs[number ^ 1])
            received[number] = await anext(receive_input(int, timeout=20))

    def talk_in_thread(number: int) -> None:
        if number % 3:
            asyncio.run(talk(number))
            return
        with bound_run(runs[number]):
            send_input(number, runs[number ^ 1])
            received[number] = receive_input(int, timeout=20).next()

    in_threads(len(runs), talk_in_thread)
    assert received == {number: number ^ 1 for number in range(len(runs))}


def test_an_inbox_survives_its_loop(valkey: Server) -> None:
    """An inbox goes on where it was, on the next loop, in a thread, and on a loop again."""
    run_id = uuid4()
    count = 1200  # several pages, so that some are read ahead
    inbox = receive_input(int, flow_run_id=run_id, timeout=5)

    async def fill() -> None:
        for number in range(count):
            sent = send_input(number, run_id)
        await sent

    async def take(number: int) -> list[int]:
        return [await anext(inbox) for _ in range(number)]

    asyncio.run(fill())
    received: list[int] = []
    for number in (1, 30, 1, 100, 68):
        received += asyncio.run(take(number))
        received += [inbox.next() for _ in range(number)]
    received += asyncio.run(take(count - len(received)))
    assert received == list(range(count))
    send_input(-1, run_id)
    assert asyncio.run(take(1)) == [-1]


def test_an_inbox_survives_a_loop_that_ended_while_it_waited(valkey: Server) -> None:
    """A wait that ended with its loop has lost nothing."""
    run_id = uuid4()
    inbox = receive_input(int, flow_run_id=run_id, timeout=None)
    received: list[int] = []

    async def take() -> None:
        received.append(await anext(inbox))

    async def send_and_go(number: int) -> None:
        receiving = asyncio.create_task(take())
        await send_input(number, run_id)
        del receiving  # it has its input now, or ends with the loop

    for number in range(30):
        asyncio.run(send_and_go(number))
    while len(received) < 30:
        asyncio.run(asyncio.wait_for(take(), 5))
    assert received == list(range(30))


def test_uvloop(valkey: Server) -> None:
    """Everything works on uvloop too."""
    uvloop = pytest.importorskip("uvloop")
    run_id = uuid4()

    async def talk() -> list[Any]:
        for number in range(500):
            send_input(number, run_id)
        await send_input("x" * 500_000, run_id)
        inbox = receive_input(int, flow_run_id=run_id, timeout=5)
        numbers = [await anext(inbox) for _ in range(500)]
        waiting = asyncio.create_task(anext(inbox))
        await asyncio.sleep(0.01)
        send_input(500, run_id)
        numbers.append(await waiting)
        text = await anext(receive_input(str, flow_run_id=run_id, timeout=5))
        send_input("left behind", run_id, key_prefix="last")
        return [numbers, len(text)]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(talk()) == [list(range(501)), 500_000]
    inbox = receive_input(str, flow_run_id=run_id, timeout=5, key_prefix="last")
    assert inbox.next() == "left behind"


@pytest.mark.parametrize("is_installed", [True, False])
def test_uvloop_where_it_is_installed(valkey: Server, *, is_installed: bool) -> None:
    """A loop that runbus starts itself, for code without `await`, is uvloop's or asyncio's."""
    script = f"""
import sys
from uuid import uuid4
if not {is_installed}:
    sys.modules["uvloop"] = None
from runbus import receive_input, send_input
from runbus.background.background_loop import background
run_id = uuid4()
send_input("ping", run_id)
print(receive_input(str, flow_run_id=run_id, timeout=5).next())
print(type(background.loop).__module__.partition(".")[0])
"""
    environment = {**os.environ, "RUNBUS_URL": valkey.url}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.split() == ["ping", "uvloop" if is_installed else "asyncio"]
    assert done.stderr == ""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks(valkey: Server) -> None:
    """Tasks that begin at once do not upset the order of things."""
    run_id = uuid4()

    async def talk() -> list[int]:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        waiting = asyncio.create_task(anext(receive_input(int, flow_run_id=run_id, timeout=5)))
        for number in range(100):
            send_input(number, run_id)
        assert await waiting == 0
        inbox = receive_input(int, flow_run_id=run_id, timeout=5)
        return [await anext(inbox) for _ in range(100)]

    assert asyncio.run(talk()) == list(range(100))


def test_a_loop_in_debug_mode(valkey: Server) -> None:
    """A loop in debug mode has nothing to complain about."""
    run_id = uuid4()

    async def talk() -> int:
        send_input(1, run_id)
        await asyncio.to_thread(send_input, 2, run_id)
        inbox = receive_input(int, flow_run_id=run_id, timeout=5)
        return await anext(inbox) + await anext(inbox)

    assert asyncio.run(talk(), debug=True) == 3


def test_nothing_is_left_of_many_loops(valkey: Server) -> None:
    """After fifty loops there are as many connections, threads and descriptors as before."""
    run_id = uuid4()

    async def talk() -> None:
        await send_input(1, run_id)
        inbox = receive_input(int, flow_run_id=run_id, timeout=0.001, raise_timeout_error=False)
        assert [each async for each in inbox]

    send_input(0, run_id)
    all_now(int, run_id)
    with valkey.client() as client:

        def connections() -> int:
            return len([each for each in client.client_list() if each["name"] == "runbus"])

        asyncio.run(talk())
        gc.collect()
        before = connections()
        threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        for _ in range(50):
            asyncio.run(talk())
        gc.collect()
        until(lambda: connections() <= before)
        assert threading.active_count() <= threads
        assert len(os.listdir("/proc/self/fd")) <= descriptors  # noqa: PTH208


def test_a_loop_holds_two_connections(valkey: Server) -> None:
    """However many runs send and wait on one loop, they share two connections."""
    client = valkey.client()

    def connections() -> int:
        return len([each for each in client.client_list() if each["name"] == "runbus"])

    async def talk() -> int:
        runs = [uuid4() for _ in range(200)]
        inboxes = [receive_input(int, flow_run_id=run_id, timeout=10) for run_id in runs]
        waiting = asyncio.gather(*[inbox.next() for inbox in inboxes])
        await asyncio.gather(*[send_input(1, run_id) for run_id in runs])
        assert await waiting == [1] * 200
        return connections()

    before = connections()
    assert asyncio.run(talk()) == before + 2
    until(lambda: connections() == before)


# --- Runs ------------------------------------------------------------------------------------


async def test_the_end_of_a_run_waits_for_its_sends(server: Server) -> None:
    """What nobody awaited is stored when the block is left."""
    run_id = uuid4()
    async with bound_run(run_id):
        sends = [send_input(number, run_id) for number in range(500)]
        assert not sends[-1].settled
    assert all(sent.entry_id for sent in sends)


@pytest.fixture
def full(valkey: Server, configure: Configure) -> UUID:
    """A run whose stream of numbers has no room left."""
    configure(max_stream_length=1)
    run_id = uuid4()
    send_input(0, run_id)
    return run_id


async def test_a_failed_send_is_raised_at_the_next_verb(full: UUID) -> None:
    """A failure that nobody looked at is raised by the run's next verb, once."""
    async with bound_run(uuid4()):
        await send_input(1, full).settlement()
        with pytest.raises(StreamFull):
            send_input("next verb", full)
        await send_input("another", full, key_prefix="free")
        await send_input(2, full).settlement()
        with pytest.raises(StreamFull):
            receive_input(int)
        inbox = receive_input(int, timeout=0)
        await send_input(3, full).settlement()
        with pytest.raises(StreamFull):
            await anext(inbox)
        await send_input(4, full).settlement()
        with pytest.raises(StreamFull):
            await inbox.next()
        with pytest.raises(ReceiveTimeout):
            await inbox.next()


async def test_a_failed_send_is_raised_at_the_end_of_the_run(full: UUID) -> None:
    """When no verb follows, the end of the run raises it."""
    with pytest.raises(StreamFull) as raised:
        async with bound_run(uuid4()):
            send_input(1, full, key="lost")
    assert raised.value.key == "lost"


async def test_a_failure_that_was_looked_at_is_over(full: UUID) -> None:
    """Whoever awaits a send has its error, and the run does not raise it again."""
    async with bound_run(uuid4()):
        with pytest.raises(StreamFull):
            await send_input(1, full)
        later = send_input(2, full)
        await later.settlement()
        with pytest.raises(StreamFull):
            await later
        results = await asyncio.gather(
            send_input(3, full), send_input(4, full), return_exceptions=True
        )
        assert [type(each) for each in results] == [StreamFull, StreamFull]


async def test_a_send_whose_await_was_cancelled_fails_the_run(full: UUID) -> None:
    """Whoever stopped waiting for a send did not see its failure, so the run raises it."""

    async def send() -> None:
        await send_input(1, full)

    with pytest.raises(StreamFull):
        async with bound_run(uuid4()):
            sending = asyncio.create_task(send())
            await asyncio.sleep(0)
            sending.cancel()
            await asyncio.wait([sending])


async def test_an_error_of_the_run_comes_first(
    full: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    """The block's own error is raised, and the failed send is logged."""
    with pytest.raises(ZeroDivisionError):
        async with bound_run(uuid4()):
            send_input(1, full)
            _ = 1 / 0
    await asyncio.sleep(0)  # the task that sent it ends
    gc.collect()
    assert "nobody looked" in caplog.text


async def test_outside_a_run_a_failure_is_logged(
    full: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    """Outside a run nobody can be told but the log."""
    await send_input(1, full).settlement()
    await asyncio.sleep(0)  # the task that sent it ends
    gc.collect()
    [record] = [each for each in caplog.records if str(full) in each.message]
    assert record.levelno == logging.ERROR
    assert record.name == "runbus"
    assert "nobody looked" in record.message
    assert "RUNBUS_MAX_STREAM_LENGTH" in record.message
    with pytest.raises(StreamFull):
        await send_input(2, full)
    gc.collect()
    assert caplog.text.count(str(full)) == 1


def test_runs_inside_runs(valkey: Server) -> None:
    """The innermost run is the current one, and each end brings the outer one back."""
    outer, inner = uuid4(), uuid4()
    other = uuid4()
    with bound_run(outer):
        send_input(1, other)
        with bound_run(inner):
            send_input(2, other)
        send_input(3, other)
        with pytest.raises(KeyError), bound_run(inner):
            raise KeyError
        send_input(4, other)
    assert current_run() is None
    inbox = receive_input(int, flow_run_id=other, timeout=0, with_metadata=True)
    senders = [inbox.next().metadata.sender for _ in range(4)]
    assert senders == [str(outer), str(inner), str(outer), str(outer)]


def test_one_run_entered_twice() -> None:
    """The same object, entered again inside itself, leaves no run behind."""

    def enter_twice() -> None:
        run = bound_run(uuid4())
        with run:
            with run:
                assert current_run() is run
            assert current_run() is run
        assert current_run() is None

    contextvars.copy_context().run(enter_twice)


async def test_tasks_belong_to_the_run_that_started_them(valkey: Server) -> None:
    """Tasks carry their run along, side by side with tasks of other runs."""
    other = uuid4()
    runs = [uuid4() for _ in range(20)]

    async def child(number: int) -> None:
        await asyncio.sleep(0)
        await send_input(number, other)

    async def run(number: int) -> None:
        async with bound_run(runs[number]), asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(child(number))

    await asyncio.gather(*[run(number) for number in range(20)])
    assert current_run() is None
    inbox = receive_input(
        int, flow_run_id=other, timeout=0, raise_timeout_error=False, with_metadata=True
    )
    received = [each async for each in inbox]
    assert len(received) == 60
    assert all(each.metadata.sender == str(runs[each.value]) for each in received)


def test_a_loop_inside_a_run(full: UUID) -> None:
    """`with bound_run` around `asyncio.run`: the loop's tasks belong to the run."""
    run_id, other = uuid4(), uuid4()

    async def send(value: Any, to: UUID) -> None:
        send_input(value, to)

    with bound_run(run_id):
        asyncio.run(send("x", other))
    inbox = receive_input(str, flow_run_id=other, timeout=0, with_metadata=True)
    assert inbox.next().metadata.sender == str(run_id)
    with pytest.raises(StreamFull), bound_run(run_id):
        asyncio.run(send(1, full))


async def test_the_end_of_a_run_waits_for_sends_made_meanwhile(valkey: Server) -> None:
    """A task of the run that sends while the run ends is waited for too."""
    run_id = uuid4()
    async with bound_run(uuid4()):
        sends = [send_input(number, run_id) for number in range(200)]
        late = asyncio.create_task(send_after(sends[100], run_id))
    assert late.done()
    assert late.result().settled


async def send_after(sent: Any, run_id: UUID) -> Any:
    """Send once more when a send is stored."""
    await sent
    return send_input(200, run_id)


async def test_two_tasks_in_one_run(valkey: Server) -> None:
    """The same `bound_run` may be entered by several tasks at once."""
    run, run_id = bound_run(uuid4()), uuid4()
    gate = asyncio.Barrier(2)

    async def send(number: int) -> None:
        async with run:
            await gate.wait()
            await send_input(number, run_id)
            await gate.wait()

    await asyncio.gather(send(1), send(2))
    inbox = receive_input(int, flow_run_id=run_id, timeout=0, with_metadata=True)
    assert {(await anext(inbox)).metadata.sender for _ in range(2)} == {str(run.flow_run_id)}


# --- Scripts ---------------------------------------------------------------------------------


@pytest.fixture
def start_script(
    valkey: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StartScript]:
    """Start a script in a process of its own, with every warning an error."""
    monkeypatch.setenv("RUNBUS_URL", valkey.url)
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    started: list[subprocess.Popen[str]] = []

    def start(source: str, *arguments: object) -> subprocess.Popen[str]:
        path = tmp_path / f"script_{len(started)}.py"
        path.write_text(textwrap.dedent(source), "utf-8")
        command = [sys.executable, "-X", "dev", "-W", "error", str(path), *map(str, arguments)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def run_script(start_script: StartScript) -> RunScript:
    """Run a script to its end."""

    def run(source: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        process = start_script(source, *arguments)
        out, err = process.communicate(timeout=20)
        # On a busy machine, asyncio's debug mode tells of what took long.
        err = re.sub(r"^Executing <.* took [\d.]+ seconds\n", "", err, flags=re.MULTILINE)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return run


SYNC = """
from runbus import bound_run, receive_input, send_input
with bound_run(run_id):
    send_input(1, run_id)
    print(receive_input(int, timeout=5).next())
inbox = receive_input(str, flow_run_id=run_id, timeout=0, raise_timeout_error=False)
print(list(inbox))
"""
ASYNC = """
import asyncio
from runbus import bound_run, receive_input, send_input
async def main():
    async with bound_run(run_id):
        send_input(2.5, run_id)
        print(await receive_input(float, timeout=5).next())
    inbox = receive_input(str, flow_run_id=run_id, timeout=0, raise_timeout_error=False)
    print([each async for each in inbox])
asyncio.run(main())
"""
# The settings are loaded late, and that alone may take a loop the 0.1 s that its debug mode tells.
HEAD = """import logging, sys
from uuid import UUID
import runbus.settings
run_id = UUID(sys.argv[1])
logging.getLogger("asyncio").setLevel("ERROR")  # not that a step took long on a busy machine
"""


@pytest.mark.parametrize(
    ("source", "output"),
    [
        (SYNC, "1\n[]\n"),
        (ASYNC, "2.5\n[]\n"),
        (SYNC + ASYNC, "1\n[]\n2.5\n[]\n"),
        (ASYNC + SYNC, "2.5\n[]\n1\n[]\n"),
        ("import runbus\n", ""),
    ],
    ids=["sync", "async", "sync and async", "async and sync", "import"],
)
def test_a_normal_exit_is_silent(run_script: RunScript, source: str, output: str) -> None:
    """Nothing is printed at the end but what the script prints."""
    done = run_script(HEAD + source, uuid4())
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")


def test_a_script_that_returns_at_once(run_script: RunScript) -> None:
    """Sends that nobody awaits are stored although the script ends with them."""
    run_id = uuid4()
    done = run_script(
        HEAD
        + """
import asyncio
from runbus import send_input
async def main():
    for number in range(300):
        send_input(number, run_id)
asyncio.run(main())
""",
        run_id,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert all_now(int, run_id) == list(range(300))


def test_a_script_that_fails_has_sent(run_script: RunScript) -> None:
    """Sends of a loop that ends with an error are stored too."""
    run_id = uuid4()
    done = run_script(
        HEAD
        + """
import asyncio
from runbus import send_input
async def main():
    send_input(1, run_id)
    raise SystemExit(3)
asyncio.run(main())
""",
        run_id,
    )
    assert (done.returncode, done.stderr) == (3, "")
    assert all_now(int, run_id) == [1]


def test_a_loop_that_was_closed_by_hand(run_script: RunScript) -> None:
    """What such a loop leaves unsent is reported, by name, and not lost in silence."""
    done = run_script(
        HEAD
        + """
import asyncio, warnings
warnings.simplefilter("ignore")
from runbus import send_input
loop = asyncio.new_event_loop()
async def main():
    return send_input(1, run_id)
print(loop.run_until_complete(main()).key)
loop.close()
""",
        uuid4(),
    )
    assert done.returncode == 0
    assert done.stdout.strip() in done.stderr
    assert "1 input(s) may not have been stored" in done.stderr


def test_a_loop_that_was_closed_by_hand_in_order(run_script: RunScript) -> None:
    """A loop whose generators are closed before it leaves nothing, and no warning."""
    run_id = uuid4()
    done = run_script(
        HEAD
        + """
import asyncio
from runbus import send_input
loop = asyncio.new_event_loop()
async def main():
    send_input(1, run_id)
loop.run_until_complete(main())
loop.run_until_complete(loop.shutdown_asyncgens())
loop.close()
""",
        run_id,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert all_now(int, run_id) == [1]


def test_daemon_threads_that_wait_at_the_end(run_script: RunScript) -> None:
    """A daemon thread that is blocked in a receive does not disturb the exit."""
    done = run_script(
        HEAD
        + """
import threading, time
from runbus import receive_input, send_input
inbox = receive_input(int, flow_run_id=run_id, timeout=None)
threading.Thread(target=lambda: list(inbox), daemon=True).start()
while inbox._consumer is None or not inbox._consumer.waits:
    time.sleep(0.001)
send_input("x", run_id)
print("done")
""",
        uuid4(),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.parametrize("order", ["first import, then register", "first register, then import"])
def test_exit_handlers_may_send(run_script: RunScript, order: str) -> None:
    """A handler that the exit calls can send, whether it runs before runbus' own or after."""
    run_id = uuid4()
    register = """
import atexit
@atexit.register
def say_goodbye():
    send_input("goodbye", run_id)
"""
    imports = "from runbus import send_input\n"
    parts = [imports, register] if order.startswith("first import") else [register, imports]
    done = run_script(HEAD + "".join(parts) + "send_input('hello', run_id)\n", run_id)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert all_now(str, run_id) == ["hello", "goodbye"]


# --- Forks -----------------------------------------------------------------------------------


FORK_HEAD = HEAD + (
    "import warnings\n"
    "warnings.filterwarnings('ignore', '.*fork.*', DeprecationWarning)\n"
    "import asyncio, multiprocessing, os, time\n"
    "from runbus import bound_run, receive_input, send_input\n"
)


def test_a_forked_child_talks_to_its_parent(run_script: RunScript) -> None:
    """A child drops the connections that it inherited, and both go on with their own."""
    done = run_script(
        FORK_HEAD
        + """
inbox = receive_input(int, flow_run_id=run_id, timeout=10)
send_input(0, run_id)
print(inbox.next())
send_input("for the child", run_id)
for number in range(1, 4):
    child = os.fork()
    if child == 0:
        assert receive_input(str, flow_run_id=run_id, timeout=10).next() == "for the child"
        async def main():
            await send_input(number, run_id)
        asyncio.run(main()) if number % 2 else send_input(number, run_id)
        os._exit(0)
    print(inbox.next())
    assert os.waitpid(child, 0)[1] == 0
""",
        uuid4(),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n1\n2\n3\n", "")


def test_a_fork_on_a_loop(run_script: RunScript) -> None:
    """A child that is forked on a running loop uses the sync verbs; the parent's loop goes on."""
    done = run_script(
        FORK_HEAD
        + """
async def main():
    inbox = receive_input(int, flow_run_id=run_id, timeout=10)
    await send_input(0, run_id)
    print(await anext(inbox))
    waiting = asyncio.create_task(anext(inbox))
    await asyncio.sleep(0)
    child = os.fork()
    if child == 0:
        send_input(1, run_id)
        assert receive_input(int, flow_run_id=run_id, timeout=10).next() == 0
        os._exit(0)
    print(await waiting)
    assert os.waitpid(child, 0)[1] == 0
    await send_input(2, run_id)
    print(await anext(inbox))
asyncio.run(main())
""",
        uuid4(),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n1\n2\n", "")


def test_processes_of_a_forking_context(run_script: RunScript) -> None:
    """`multiprocessing` with fork: children send, receive and end in order."""
    done = run_script(
        FORK_HEAD
        + """
def child(number):
    with bound_run(run_id):
        send_input(number, run_id)
        assert receive_input(str, timeout=10).next() == "start"
if __name__ == "__main__":
    inbox = receive_input(int, flow_run_id=run_id, timeout=10)
    send_input("start", run_id)
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=child, args=(number,)) for number in range(4)]
    for process in children:
        process.start()
    print(sorted(inbox.next() for _ in children))
    for process in children:
        process.join(10)
    print([process.exitcode for process in children])
""",
        uuid4(),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0, 1, 2, 3]\n[0, 0, 0, 0]\n", "")


def test_a_child_leaves_its_parents_sends_alone(run_script: RunScript) -> None:
    """What the parent had under way is sent by the parent, once, and reported by nobody."""
    run_id = uuid4()
    done = run_script(
        FORK_HEAD
        + """
import logging
def child():
    send_input(100, run_id)
    logging.shutdown()
async def main():
    sends = [send_input(number, run_id) for number in range(100)]
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    await asyncio.gather(*sends)
    await asyncio.to_thread(process.join)
    print(process.exitcode)
asyncio.run(main())
""",
        run_id,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
    assert sorted(all_now(int, run_id)) == list(range(101))


def test_a_child_goes_on_with_an_inherited_inbox(run_script: RunScript) -> None:
    """An inbox that a child inherits goes on in both processes from where it was."""
    done = run_script(
        FORK_HEAD
        + """
for number in range(100):
    send_input(number, run_id)
inbox = receive_input(int, flow_run_id=run_id, timeout=10)
assert [inbox.next() for _ in range(10)] == list(range(10))
child = os.fork()
assert [inbox.next() for _ in range(90)] == list(range(10, 100))
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("done")
""",
        uuid4(),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


# --- Ctrl-C ----------------------------------------------------------------------------------


def is_waiting(server: Server, run_id: UUID) -> bool:
    """Whether somebody waits for a run's inputs."""
    with server.client() as client:
        return bool(client.exists(f"runbus:{{{run_id.hex[-2:]}}}:here"))


@pytest.mark.parametrize(
    "wait",
    [
        "receive_input(int, flow_run_id=run_id, timeout=None).next()",
        "list(receive_input(int, flow_run_id=run_id, timeout=None))",
        "asyncio.run(wait())",
    ],
    ids=["next", "for", "loop"],
)
def test_an_interrupt_while_blocked(valkey: Server, start_script: StartScript, wait: str) -> None:
    """Ctrl-C ends a blocked receive at once, and the process in order."""
    run_id = uuid4()
    script = start_script(
        HEAD
        + f"""
import asyncio
from runbus import receive_input, send_input
async def wait():
    await anext(receive_input(int, flow_run_id=run_id, timeout=None))
try:
    {wait}
except KeyboardInterrupt:
    print("interrupted")
send_input("afterwards", run_id)
""",
        run_id,
    )
    until(lambda: is_waiting(valkey, run_id), 10)
    started = time.monotonic()
    script.send_signal(signal.SIGINT)
    out, err = script.communicate(timeout=30)
    assert time.monotonic() - started < 10
    assert (script.returncode, out, err) == (0, "interrupted\n", "")
    assert all_now(str, run_id) == ["afterwards"]


def test_an_interrupt_that_nobody_catches(valkey: Server, start_script: StartScript) -> None:
    """Then the process ends by the signal, and says nothing but the traceback."""
    run_id = uuid4()
    script = start_script(
        HEAD
        + """
from runbus import receive_input
receive_input(int, flow_run_id=run_id, timeout=None).next()
""",
        run_id,
    )
    until(lambda: is_waiting(valkey, run_id), 10)
    script.send_signal(signal.SIGINT)
    _, err = script.communicate(timeout=10)
    assert script.returncode == -signal.SIGINT
    assert err.count("Traceback") == 1
    assert err.strip().endswith("KeyboardInterrupt")


def test_an_interrupted_send_is_stored_all_the_same(
    valkey: Server, start_script: StartScript
) -> None:
    """Ctrl-C ends the wait for a send, which goes on in the background."""
    run_id = uuid4()
    script = start_script(
        HEAD
        + """
import time
from runbus import send_input
send_input("connected", run_id)
print("ready")
time.sleep(0.3)
try:
    send_input(1, run_id)
except KeyboardInterrupt:
    print("interrupted")
""",
        run_id,
    )
    assert script.stdout is not None
    assert script.stdout.readline() == "ready\n"
    valkey.freeze()
    try:
        time.sleep(0.6)  # until it is blocked: there is nothing else to see from outside
        script.send_signal(signal.SIGINT)
        assert script.stdout.readline() == "interrupted\n"
    finally:
        valkey.thaw()
    assert script.wait(10) == 0
    assert all_now(int, run_id) == [1]


def test_interrupts_lose_no_input(run_script: RunScript) -> None:
    """A blocked receive that is interrupted again and again gets every input once, in order."""
    done = run_script(
        HEAD
        + """
import logging, random, signal, threading, time
from runbus import receive_input, send_input
from runbus.background import bridge
from runbus.background.caller import Caller

def interrupt(number, frame):
    if frame.f_code in {bridge._hand_over.__code__, Caller.acquire.__code__}:
        raise KeyboardInterrupt

def send_all():
    for number in range(400):
        send_input(number, run_id)
        time.sleep(random.random() * 0.002)

send_input("the background thread runs", run_id)
signal.signal(signal.SIGALRM, interrupt)
inbox = receive_input(int, flow_run_id=run_id, timeout=5)
threading.Thread(target=send_all).start()
logging.disable()  # on a busy machine asyncio's debug mode speaks of slow callbacks
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.003)
received, interrupts = [], 0
while len(received) < 400:
    try:
        received.append(inbox.next())
    except KeyboardInterrupt:
        interrupts += 1
signal.setitimer(signal.ITIMER_REAL, 0)
assert received == list(range(400)), received
assert interrupts > 50, interrupts
print("done")
""",
        uuid4(),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_an_interrupt_while_an_input_is_decoded(valkey: Server) -> None:
    """An interrupt in the middle of an input's own `decode` leaves the input for the next call."""

    class Slow(RunInput):
        number: int

        @classmethod
        def decode(cls, data: bytes) -> Slow:
            if interrupts:
                raise interrupts.pop()
            return super().decode(data)

    interrupts: list[BaseException] = [KeyboardInterrupt()]
    run_id = uuid4()
    send_input(Slow(number=1), run_id)
    send_input(Slow(number=2), run_id)
    inbox = Slow.receive(flow_run_id=run_id, timeout=0)
    with pytest.raises(KeyboardInterrupt):
        inbox.next()
    assert inbox.next().number == 1
