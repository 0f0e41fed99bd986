"""The end of a run is kept until it is recorded, whatever refuses it or is away meanwhile."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from chaos.faults import (
    FailedSnapshot,
    FrozenServer,
    FullMemory,
    KilledServer,
    MissingRight,
    NoReplicas,
    ReadOnly,
)
from faults import LEASE_SECONDS, PATIENCE, made, result_of, started, state_of, until
from lasting import Diary

from runbus import cancel_flow_run, flow, get_client, get_run_context
from runbus.background.bridge import run as block
from runbus.errors import AlreadyEnded, EndNotRecorded
from runbus.store.records.executions import LARGEST_KEPT_RESULT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chaos.faults import Fault
    from faults import StartProcess
    from servers import Server

FAULTS: dict[str, Callable[[Server], Fault]] = {
    "full memory": FullMemory,
    "a failed snapshot": FailedSnapshot,
    "read only": ReadOnly,
    "no replicas": NoReplicas,
    "no right to call scripts": lambda server: MissingRight(server, "evalsha"),
    "frozen": FrozenServer,
    "killed": KilledServer,
}
"""What lasts for longer than a lease and a retry here."""
REFUSALS = [name for name in FAULTS if name not in {"frozen", "killed"}]
"""Those in which the server answers, each engine in its own words."""
RETRY_SECONDS = 1.0
HASTY_SECONDS = 3
"""The grace time of a worker for which a test waits: there is time to tell of an end, and then to
try on."""
A_FEW_SECONDS = 10


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path)


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """What a process says."""
    return tmp_path / "said"


@pytest.mark.parametrize(
    ("server", "name"),
    [
        *(("valkey", name) for name in FAULTS),
        *(("redis", name) for name in REFUSALS),
    ],
    indirect=["server"],
)
def test_runs_that_end_while_their_ends_cannot_be_recorded(
    server: Server, start_process: StartProcess, diary: Diary, name: str
) -> None:
    """Each is recorded afterwards; none is executed again, here or in the worker beside."""
    for _ in range(2):
        start_process("lasting.py", "0", "hold", "sync-hold", retry_seconds=RETRY_SECONDS)
    runs = [started(f"{each}/x", diary.given) for each in ("hold", "sync-hold") for _ in range(2)]
    until(lambda: diary.count("begins") == 4)
    with made(FAULTS[name](server)):
        diary.gate.touch()
        until(lambda: diary.count("ends") == 4)
        time.sleep(2.5 * LEASE_SECONDS)  # in which others would take them
    assert [result_of(run_id) for run_id in runs] == ["held"] * 4
    found = [block(lambda run_id=run_id: get_client().read_flow_run(run_id)) for run_id in runs]
    assert [(run.run_count, run.crash_count) for run in found] == [(1, 0)] * 4
    assert diary.count("begins") == 4


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
@pytest.mark.parametrize("name", FAULTS)
def test_a_retry_that_cannot_begin(
    server: Server, start_process: StartProcess, diary: Diary, name: str
) -> None:
    """It begins when the server takes that again; the run neither fails by it nor stays pending."""
    start_process("lasting.py", "1", "stumble", retry_seconds=RETRY_SECONDS)
    run_id = started("stumble/x", diary.given)
    until(lambda: state_of(run_id) == "Pending")
    with made(FAULTS[name](server)):
        time.sleep(3 * RETRY_SECONDS)
    assert result_of(run_id) == "held"
    assert block(lambda: get_client().read_flow_run(run_id)).retry == 1
    assert diary.count("begins") == diary.count("ends") == 1


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
def test_a_run_that_is_cancelled_when_its_end_is_recorded_late(
    server: Server, start_process: StartProcess, diary: Diary
) -> None:
    """It has ended, one way or the other, and does not stay `Cancelling`."""
    start_process("lasting.py", "0", "hold")
    run_id = started("hold/x", diary.given)
    until(lambda: diary.count("begins") == 1)
    with made(FullMemory(server)):
        diary.gate.touch()
        until(lambda: diary.count("ends") == 1)
    try:
        cancel_flow_run(run_id)
    except AlreadyEnded:
        assert state_of(run_id) == "Completed"
    until(lambda: state_of(run_id) in {"Completed", "Cancelled"})


@pytest.mark.parametrize("size", [1_000, 200_000])
async def test_a_result_while_memory_is_full(
    own_server: Server, configure: Callable[..., None], size: int
) -> None:
    """A small one is recorded at once, as an end takes little; a large one is kept."""
    configure(retry_seconds=RETRY_SECONDS)
    fault, ids = FullMemory(own_server), list[UUID]()

    @flow
    async def fill() -> str:
        ids.append(get_run_context().run_id)
        fault.begin()
        return "x" * size

    async def state() -> str:
        return (await get_client().read_flow_run(ids[0])).state.name

    if size < LARGEST_KEPT_RESULT:
        assert await fill() == "x" * size
        assert await state() == "Completed"
        fault.heal()
    else:
        with pytest.raises(EndNotRecorded, match="Completed"):
            await fill()
        assert await state() == "Running"
        fault.heal()
        async with asyncio.timeout(PATIENCE):
            while await state() != "Completed":
                await asyncio.sleep(0.02)
    assert (await get_client().read_flow_run(ids[0])).state.result() == "x" * size


async def test_a_direct_call_returns_and_its_end_is_recorded_later(
    own_server: Server, configure: Callable[..., None]
) -> None:
    """Who waits is told after `retry_seconds`; the process goes on to try."""
    configure(retry_seconds=RETRY_SECONDS)
    ids: list[UUID] = []

    @flow
    async def end_in_an_outage() -> int:
        ids.append(get_run_context().run_id)
        own_server.freeze()
        return 7

    with pytest.raises(EndNotRecorded, match="Completed"):
        await end_in_an_outage()
    own_server.thaw()
    deadline = time.monotonic() + PATIENCE
    while (await get_client().read_flow_run(ids[0])).state.name != "Completed":
        assert time.monotonic() < deadline


@pytest.mark.keys_without_lifetime
@pytest.mark.parametrize("name", ["hold", "sync-hold", "ask"])
@pytest.mark.parametrize("outage", [FrozenServer, KilledServer])
def test_a_worker_that_cannot_record_an_end_has_ended_after_its_grace_time(
    server: Server,
    start_process: StartProcess,
    diary: Diary,
    said: Path,
    name: str,
    outage: Callable[[Server], Fault],
) -> None:
    """It says what it waits for, then names each end that is not recorded; its exit code says so.

    So one whose code has ended, and one that only waits and is handed back.
    """
    worker = start_process("hasty.py", f"{HASTY_SECONDS}", "0", name, said=said)
    run_name = begun(name, diary)
    with made(outage(server)):
        diary.gate.touch()
        until(lambda: name == "ask" or diary.count("ends") == 1)
        worker.send_signal(signal.SIGTERM)
        began = time.monotonic()
        state = "Scheduled" if name == "ask" else "Completed"
        until(lambda: f"not recorded yet: {run_name} ({state})" in said.read_text())
        assert worker.wait(PATIENCE) == 1
        assert time.monotonic() - began < HASTY_SECONDS + A_FEW_SECONDS
    assert said.read_text().count(f"{run_name}: its end ({state}) was never recorded: ") == 1


@pytest.mark.keys_without_lifetime
@pytest.mark.parametrize("name", ["hold", "sync-hold", "ask"])
def test_a_second_signal_names_what_is_not_recorded(
    server: Server, start_process: StartProcess, diary: Diary, said: Path, name: str
) -> None:
    """And ends the worker at once all the same."""
    worker = start_process("lasting.py", "0", name, said=said)
    run_name = begun(name, diary)
    with made(FrozenServer(server)):
        diary.gate.touch()
        until(lambda: name == "ask" or diary.count("ends") == 1)
        worker.send_signal(signal.SIGTERM)
        until(lambda: "not recorded yet" in said.read_text())
        worker.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert worker.wait(PATIENCE) == 128 + signal.SIGTERM
        assert time.monotonic() - began < A_FEW_SECONDS
    state = "Scheduled" if name == "ask" else "Completed"
    assert f"{run_name}: its end ({state}) was never recorded: " in said.read_text()


def begun(name: str, diary: Diary) -> str:
    """Start a run; return its name as soon as it executes, or waits for its answer."""
    run_id = started(f"{name}/x", diary.given)
    until(lambda: diary.count("begins") == 1)
    until(lambda: name != "ask" or state_of(run_id) == "Paused")
    return block(lambda: get_client().read_flow_run(run_id)).name


def test_a_process_that_ends_before_names_the_run(
    server: Server, start_process: StartProcess, diary: Diary, said: Path
) -> None:
    """Its exit code says so, too, though the program was content with the error."""
    process = start_process(
        "lasting.py", "called", "hold", *diary.given.values(), said=said, retry_seconds=1
    )
    until(lambda: diary.count("begins") == 1)
    with made(FrozenServer(server)):
        diary.gate.touch()
        assert process.wait(PATIENCE) == 1
    assert "was never recorded" in said.read_text()
    with server.client() as client:
        client.flushall()  # of what nobody goes on with
