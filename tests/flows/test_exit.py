"""The end of a process in which flows and other things still wait."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from servers import Server

SCRIPT = """
import asyncio, logging, sys, threading, time
from uuid import UUID, uuid4
import runbus.settings
from runbus import *
logging.getLogger("runbus").addHandler(logging.NullHandler())
paused = threading.Event()

async def follow():
    async for event in get_client().follow_events():
        if event.state == "Paused":
            paused.set()

@flow
def ask():
    pause_flow_run(int)

@flow
async def ask_async():
    await pause_flow_run(int)

def receive():
    for _ in receive_input(int, flow_run_id=uuid4(), timeout=None):
        pass

def begin(work):
    threading.Thread(target=work, daemon=True).start()

begin({work})
begin(lambda: asyncio.run(follow()))
begin(lambda: runbus.background.bridge.run(follow))
{until}
print("the end")
"""
LEFT = {
    "a sync flow": ("ask", "paused.wait()"),
    "an async flow": ("lambda: asyncio.run(ask_async())", "paused.wait()"),
    "a receiver": ("receive", "time.sleep(0.5)"),  # of which nobody is told
}


@pytest.mark.keys_without_lifetime  # of the runs, which others end when their lease is over
@pytest.mark.parametrize("left", LEFT)
def test_a_thread_that_waits_at_the_end(valkey: Server, left: str) -> None:
    """Nothing is printed at the end of a process whose daemon threads wait in a verb."""
    work, until = LEFT[left]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT.format(work=work, until=until)],
        env={"RUNBUS_URL": valkey.url},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "the end\n", "")
