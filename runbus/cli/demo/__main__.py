"""The greeter's process: serves the greeter until the prompt's process has ended."""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress
from threading import Thread, Timer

from runbus import RunbusError, cancel_flow_run, get_client
from runbus.background.bridge import run
from runbus.cli.demo.greeter import greeter
from runbus.errors import AlreadyEnded

END_SECONDS = 5.0


def _end_with_the_prompt(name: str) -> None:
    sys.stdin.read()  # the other end of the pipe is closed when the prompt ends, however it does
    last_resort = Timer(END_SECONDS, os._exit, [1])
    last_resort.daemon = True
    last_resort.start()
    with suppress(RunbusError):
        _end_runs(f"greeter/{name}")
    os.kill(os.getpid(), signal.SIGTERM)


def _end_runs(deployment: str) -> None:
    # A prompt that was killed has left its greeter's run behind.
    for each in run(lambda: get_client().read_flow_runs()):
        if each.deployment_id == deployment and not each.state.is_final():
            with suppress(AlreadyEnded):
                cancel_flow_run(each.id)


if __name__ == "__main__":
    logging.getLogger("runbus").addHandler(logging.NullHandler())
    Thread(target=_end_with_the_prompt, args=(sys.argv[1],), daemon=True).start()
    with suppress(RunbusError):  # the prompt meets the same trouble, and tells
        greeter.serve(sys.argv[1])
