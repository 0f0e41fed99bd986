"""The sender: a flow that starts a greeter elsewhere, sends it names and prints its greetings."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runbus import flow, receive_input, run_deployment, send_input, wait_for_flow_run
from runbus.cli.demo.greeter import EXIT_SIGNAL
from runbus.errors import DeploymentMissing

if TYPE_CHECKING:
    from runbus.protocol.records import FlowRun

GREETING_SECONDS = 30
END_SECONDS = 5


@flow
def sender(deployment: str) -> None:
    """Ask for names and print what the greeter answers."""
    greeter = _started(deployment)
    greetings = receive_input(str, timeout=GREETING_SECONDS)
    print(f"{greeter.name} greets you, from a process of its own. q ends it.")
    try:
        while (name := _ask()) is not None:
            send_input(name, greeter.id)
            print(greetings.next())
    finally:
        send_input(EXIT_SIGNAL, greeter.id)
        wait_for_flow_run(greeter.id, timeout=END_SECONDS)


def _started(deployment: str) -> FlowRun:
    deadline = time.monotonic() + GREETING_SECONDS
    while True:
        try:
            return run_deployment(deployment, timeout=0)
        except DeploymentMissing:  # its process begins at this very moment
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _ask() -> str | None:
    name = ""
    while not name:
        try:
            name = input("What is your name? ").strip()
        except EOFError:
            print()
            return None
    return None if name in {"q", "quit"} else name
