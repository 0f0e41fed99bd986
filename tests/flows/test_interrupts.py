"""Interrupts (Ctrl-C) of code that is blocked in a verb or a flow, at any moment: real signals."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import subprocess
import sys
import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import anyio
import pytest
from faults import PATIENCE, state_of, until

import runbus
from runbus import flow, get_client, pause_flow_run, wait_for_flow_run
from runbus.background.bridge import run as block
from runbus.store.sending.receipt import Send

if TYPE_CHECKING:
    from servers import Server

STORM_SECONDS = 5

# The handlers of the standard library's logging hold locks that an interrupt may leave held.
STORM = """
import logging, random, signal, sys, time
from uuid import UUID
if sys.argv[2] == "asyncio":
    sys.modules["uvloop"] = None
from runbus import flow, pause_flow_run, receive_input, send_input
from runbus.background import bridge
logging.getLogger("runbus").addHandler(logging.NullHandler())
logging.getLogger("runbus").propagate = False
run_id = UUID(sys.argv[1])

@flow
def ask():
    pause_flow_run(int, timeout=0.005)

def storm():
    interrupts = done = 0
    end = time.monotonic() + float(sys.argv[3])
    while time.monotonic() < end:
        try:
            random.choice(steps)()
            done += 1
        except TimeoutError:
            pass
        except KeyboardInterrupt:
            interrupts += 1
    return interrupts, done

def interrupt(number, frame):
    if frame.f_code not in {storm.__code__, main}:  # everywhere but between two steps
        raise KeyboardInterrupt

main = sys._getframe().f_code
send_input(0, run_id)
inbox = receive_input(int, flow_run_id=run_id, timeout=0.01)
steps = [lambda: send_input(1, run_id), inbox.next, ask]
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("ready", flush=True)
signal.signal(signal.SIGINT, interrupt)
interrupts, done = storm()
signal.signal(signal.SIGINT, signal.SIG_IGN)
print(interrupts, done, flush=True)
send_input("afterwards", run_id)
print(receive_input(str, flow_run_id=run_id, timeout=10).next(), flush=True)
input()
"""

IMPORTS = """
import re, sys, threading
from dataclasses import dataclass
from uuid import UUID
from pydantic import AnyUrl
from runbus import flow, pause_flow_run, receive_input, send_input
run_id = UUID(sys.argv[1])

@dataclass
class Word:
    text: str

@flow
def talk(word: Word):
    send_input(re.compile("a"), run_id)
    send_input(word, run_id)
    print(receive_input(Word | AnyUrl, flow_run_id=run_id, timeout=10).next())
    try:
        pause_flow_run(Word, timeout=0.01)
    except TimeoutError:
        pass

def note(event, arguments):
    if event == "import" and threading.current_thread() is threading.main_thread():
        late.append(arguments[0])

late = []
sys.addaudithook(note)
talk({"text": "hi"})
print(*late)
"""

# What a thread imports while a Ctrl-C ends the process may make CPython (3.11) forget that it was
# one, and exit with 1: so the scripts below import beforehand what runbus does in its own thread.
SYNC_FLOW = """
import asyncio, sys
import anyio._backends._asyncio
from runbus import flow, get_run_context, pause_flow_run
@flow
def ask():
    print(get_run_context().run_id, flush=True)
    pause_flow_run(int)
"""
ASYNC_FLOW = """
import asyncio, sys
import anyio._backends._asyncio
from runbus import flow, get_run_context, pause_flow_run
@flow
async def ask():
    print(get_run_context().run_id, flush=True)
    await pause_flow_run(int)
"""
OTHER_LOOP = """
async def cell():
    ask()
loop = asyncio.new_event_loop()
try:
    loop.run_until_complete(cell())
except KeyboardInterrupt:
    print("interrupted", flush=True)
input()
"""
CALLS = {
    "sync": SYNC_FLOW + "ask()",
    "async": ASYNC_FLOW + "asyncio.run(ask())",
    "a task of its own": ASYNC_FLOW
    + "async def main():\n    await asyncio.create_task(ask())\nasyncio.run(main())",
    "sync on a loop": SYNC_FLOW + "async def main():\n    ask()\nasyncio.run(main())",
}


def start(server: Server, code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={"RUNBUS_URL": server.url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_storm_of_interrupts(valkey: Server, loop: str) -> None:
    """Whatever step of a verb or a flow is interrupted: the process works on, its runs have ended.

    No question waits, no coroutine is left behind on the background loop or never awaited.
    """
    run_id = uuid4()
    script = start(valkey, STORM, run_id, loop, STORM_SECONDS)
    try:
        assert line_of(script) == "ready"
        end = time.monotonic() + STORM_SECONDS
        while time.monotonic() < end:
            script.send_signal(signal.SIGINT)
            time.sleep(random.expovariate(1 / 0.001))
        interrupts, done = map(int, line_of(script).split())
        assert interrupts > 100
        assert done > 100
        assert line_of(script) == "afterwards"
        until(lambda: not running(), patience=3)
        assert block(get_client().count_waiting) == 0
        _, errors = script.communicate("\n", timeout=PATIENCE)
    finally:
        script.kill()
        script.communicate()
    assert script.returncode == 0
    assert not re.findall(r".*(?:never awaited|never retrieved|pending|Error\b).*", errors)


def test_no_verb_of_a_flow_imports_anything_where_it_is_called(valkey: Server) -> None:
    """An import that an interrupt leaves half done would block those of the background loop."""
    script = start(valkey, IMPORTS, uuid4())
    told, errors = script.communicate("", timeout=PATIENCE)
    assert told.splitlines() == ["Word(text='hi')", ""], errors


def running() -> list[UUID]:
    """The runs that have not ended."""
    runs = block(lambda: get_client().read_flow_runs(limit=1000))
    return [run.id for run in runs if not run.state.is_final()]


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_while_a_flow_is_paused(valkey: Server, call: str) -> None:
    """The pause is withdrawn and the run ends at once, and so does the process."""
    script = start(valkey, CALLS[call])
    run_id = UUID(line_of(script))
    until(lambda: state_of(run_id) == "Paused")
    begun = time.monotonic()
    script.send_signal(signal.SIGINT)
    _, errors = script.communicate(timeout=PATIENCE)
    assert time.monotonic() - begun < 3
    assert script.returncode == -signal.SIGINT, errors
    assert re.search(r"^KeyboardInterrupt$", errors, re.MULTILINE)
    assert "Error" not in errors.replace("CancelledError", "")
    assert_interrupted(run_id)


def test_an_interrupted_cell(valkey: Server) -> None:
    """A sync flow that blocks a loop which goes on afterwards, as a notebook's, ends at once."""
    script = start(valkey, SYNC_FLOW + OTHER_LOOP)
    run_id = UUID(line_of(script))
    until(lambda: state_of(run_id) == "Paused")
    script.send_signal(signal.SIGINT)
    assert line_of(script) == "interrupted"
    begun = time.monotonic()
    assert_interrupted(run_id)
    assert time.monotonic() - begun < 3
    script.communicate("\n", timeout=PATIENCE)
    assert script.returncode == 0


def assert_interrupted(run_id: UUID) -> None:
    state = wait_for_flow_run(run_id, timeout=PATIENCE).state
    assert state.name == "Crashed"
    assert state.message.startswith("interrupted by ")
    [pause] = block(lambda: get_client().read_pauses(run_id))
    assert pause.state == "cancelled"


@pytest.mark.parametrize("scope", ["asyncio", "anyio"])
async def test_an_async_flow_that_is_cancelled_at_any_moment(valkey: Server, scope: str) -> None:
    """Its run has ended then, with whatever was under way when it was cancelled."""

    @flow
    async def ask() -> None:
        await pause_flow_run(int, timeout=60)

    async def cancelled_after(seconds: float) -> None:
        if scope == "anyio":  # whose cancellation comes again in each turn of the loop
            with anyio.move_on_after(seconds):
                await ask()
        else:
            asking = asyncio.create_task(ask())
            await asyncio.sleep(seconds)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    await cancelled_after(0.1)
    for number in range(200):
        await cancelled_after(number * 0.00005)
    client = get_client()
    runs = await client.read_flow_runs(limit=1000)
    assert len(runs) > 50
    assert {run.state.name for run in runs} == {"Crashed"}
    assert await client.count_waiting() == 0


def module_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts)


def classes_with_an_end() -> list[type]:
    """The classes of runbus that do something when an object of theirs goes."""
    root = Path(runbus.__file__).parent
    found = {
        cls
        for path in root.rglob("*.py")
        if "def __del__" in path.read_text()
        for cls in vars(import_module(module_of(path.relative_to(root.parent)))).values()
        if isinstance(cls, type) and "__del__" in vars(cls)
    }
    return sorted(found, key=lambda cls: cls.__name__)


@pytest.mark.parametrize("cls", classes_with_an_end())
def test_what_an_interrupt_left_half_made(cls: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object whose `__init__` did not come to its end goes without a word."""
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        half_made = cls.__new__(cls)
        del half_made
    assert not complaints
    assert not warned


def test_a_send_that_is_settled_runs_no_code_when_it_goes() -> None:
    """That code would swallow an interrupt that comes meanwhile."""
    assert not hasattr(Send, "__del__")
