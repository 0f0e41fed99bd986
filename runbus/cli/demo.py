"""`runbus demo`: two processes that talk, a greeter and a prompt."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager, suppress
from threading import Thread
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from runbus import RunbusError, bound_run, receive_input, send_input, settings

if TYPE_CHECKING:
    from collections.abc import Generator

GREETING_SECONDS = 30
INTERRUPTED = 130


def demo() -> int:
    """Talk to a greeter in another process. `q`, `quit` or the end of the input ends it."""
    settings.current()  # a wrong one is told before anything is asked
    try:
        with bound_run(uuid4()), _greeter_process() as greeter:
            greetings = receive_input(str, timeout=GREETING_SECONDS)
            while (name := _ask()) is not None:
                send_input(name, greeter)
                print(greetings.next())
    except KeyboardInterrupt:
        print()
        return INTERRUPTED
    return 0


def _ask() -> str | None:
    name = ""
    while not name:
        try:
            name = input("What is your name? ").strip()
        except EOFError:
            print()
            return None
    return None if name in {"q", "quit"} else name


@contextmanager
def _greeter_process() -> Generator[UUID]:
    run_id = uuid4()
    command = [sys.executable, "-m", "runbus.cli.demo", str(run_id)]
    # A session of its own, so that Ctrl-C reaches the prompt alone.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield run_id  # leaving closes the pipe, which ends the greeter


def greet(run_id: UUID) -> None:
    """Answer each name with a greeting."""
    with bound_run(run_id):
        for name in receive_input(str, timeout=None, with_metadata=True):
            name.respond(f"Hello, {name.value}!")


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    Thread(target=_end_with_parent, daemon=True).start()
    with suppress(RunbusError):  # the prompt meets the same trouble, and tells
        greet(UUID(sys.argv[1]))
