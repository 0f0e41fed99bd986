"""`runbus demo`: two flows that talk, each in a process of its own."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runbus import settings
from runbus.cli.demo.sender import sender

if TYPE_CHECKING:
    from collections.abc import Generator

INTERRUPTED = 130


def demo() -> int:
    """Talk to a greeter in another process. `q`, `quit` or the end of the input ends it."""
    settings.current()  # a wrong one is told before anything is asked
    # The lines of the runs would come between question and answer.
    logging.getLogger("runbus").addHandler(logging.NullHandler())
    try:
        with _greeter_process(f"demo-{os.getpid()}") as deployment:
            sender(deployment)
    except KeyboardInterrupt:
        print()
        return INTERRUPTED
    return 0


@contextmanager
def _greeter_process(name: str) -> Generator[str]:
    # Of its own name, so that demos which run at once do not take each other's runs.
    command = [sys.executable, "-m", "runbus.cli.demo", name]
    # A session of its own, so that Ctrl-C reaches the prompt alone.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield f"greeter/{name}"  # leaving closes the pipe, which ends the greeter
