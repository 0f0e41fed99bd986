"""`runbus demo`: in a pipe, in a terminal, and when its processes are killed."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from runbus import get_client
from runbus.background.bridge import run as block

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import Server

COMMAND = [sys.executable, "-m", "runbus", "demo"]
FIRST_LINE = re.compile(r"[a-z]+(-[a-z]+)+ greets you, from a process of its own. q ends it.")


@pytest.fixture
def environment(valkey: Server) -> dict[str, str]:
    """The demo talks over the test's server."""
    return {**os.environ, "RUNBUS_URL": valkey.url, "PYTHONUNBUFFERED": "1"}


@contextmanager
def started(environment: dict[str, str], **streams: Any) -> Iterator[subprocess.Popen[str]]:
    """A demo that is ended with the test."""
    with subprocess.Popen(COMMAND, env=environment, text=True, **streams) as demo:
        try:
            yield demo
        finally:
            demo.kill()


@pytest.mark.parametrize("end", ["q\n", "quit\n", ""], ids=["q", "quit", "end of input"])
def test_piped_input(environment: dict[str, str], end: str) -> None:
    """Names go in through a pipe, greetings come out, and the input's end is the demo's."""
    names = "andrew\n\n  Zoë \n" + end
    done = subprocess.run(
        COMMAND,
        env=environment,
        input=names,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *others = done.stdout.replace("What is your name? ", "").strip().splitlines()
    assert FIRST_LINE.fullmatch(first)
    assert others == ["Hello, andrew!", "Hello, Zoë!"]
    assert done.stderr == ""
    assert ended_runs() == {"sender": "Completed", "greeter": "Completed"}


def ended_runs() -> dict[str, str]:
    """Each flow's run and its state; the greeter is the sender's child."""
    runs = {run.flow_name: run for run in block(lambda: get_client().read_flow_runs())}
    assert runs["greeter"].parent_run_id == runs["sender"].id
    return {name: run.state.name for name, run in runs.items()}


def test_on_a_terminal(environment: dict[str, str]) -> None:
    """It asks and answers on a calm screen; Ctrl-C ends it, its runs and its greeter."""
    terminal, side = pty.openpty()
    with started(environment, stdin=side, stdout=side, stderr=side, start_new_session=True) as demo:
        shown = read_until(terminal, "What is your name? ")
        os.write(terminal, b"ada\n")
        shown += read_until(terminal, "What is your name? ")
        assert "Hello, ada!" in shown
        interrupt(demo)
        assert demo.returncode == 130
    os.close(side)
    shown += read_to_the_end(terminal)
    os.close(terminal)
    first, *others = shown.replace("^C", "").splitlines()
    assert FIRST_LINE.fullmatch(first)
    assert others == ["What is your name? ada", "Hello, ada!", "What is your name? "]
    assert ended_runs() == {"sender": "Crashed", "greeter": "Completed"}


@pytest.mark.parametrize("pressed", [b"\x03", b"\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_keys_end_it(environment: dict[str, str], pressed: bytes) -> None:
    """The keys of a terminal, which reach all of its processes."""
    child, terminal = pty.fork()
    if child == 0:
        os.execve(COMMAND[0], COMMAND, environment)
    read_until(terminal, "What is your name? ")
    time.sleep(0.1)  # until `input()` waits: no other process can see that it does
    os.write(terminal, pressed)
    shown = read_to_the_end(terminal)
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert "Traceback" not in shown
    assert os.waitstatus_to_exitcode(status) == (130 if pressed == b"\x03" else 0)
    assert ended_runs()["greeter"] == "Completed"


def interrupt(demo: subprocess.Popen[str]) -> None:
    """Press Ctrl-C; again if it came just before `input()` began to wait, as no person could."""
    for _ in range(20):
        os.kill(demo.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            demo.wait(1)
            return


def read_until(terminal: int, text: str) -> str:
    """Read what a terminal shows until a text comes."""
    shown = ""
    while text not in shown:
        shown += os.read(terminal, 1000).decode()
    return shown


def read_to_the_end(terminal: int) -> str:
    """Read what a terminal shows until no process has it any more."""
    shown = b""
    with suppress(OSError):  # how Linux says that
        while more := os.read(terminal, 1000):
            shown += more
    return shown.decode()


def test_the_greeter_ends_with_the_prompt(environment: dict[str, str], valkey: Server) -> None:
    """A prompt that is killed leaves no greeter behind, and no run of a greeter."""
    with started(environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as demo:
        assert demo.stdin
        assert demo.stdout
        demo.stdin.write("ada\n")
        demo.stdin.flush()
        assert FIRST_LINE.fullmatch(demo.stdout.readline().strip())
        assert "Hello" in demo.stdout.readline()
        demo.send_signal(signal.SIGKILL)
        # The greeter inherited no other pipe: reading ends when the last writer has.
        demo.stdout.read()
    with valkey.client() as client:
        while len(client.client_list(_type="normal")) > 1:
            pass
    assert ended_runs()["greeter"] == "Cancelled"
    # The sender's own run is nobody's until some process finds its lease ended.
    with valkey.client() as client:
        client.flushall()


def test_a_server_that_is_not_there(environment: dict[str, str]) -> None:
    """An unreachable server is one line on standard error, and exit code 1."""
    environment |= {"RUNBUS_URL": "redis://:secret@127.0.0.1:1/0", "RUNBUS_RETRY_SECONDS": "0.2"}
    done = subprocess.run(
        COMMAND, env=environment, input="ada\n", capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr.partition("runbus: ")[2]
