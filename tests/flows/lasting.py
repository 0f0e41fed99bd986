"""Flows that last until a file says that they may end: `python lasting.py <limit> [flow name …]`.

Each execution writes a line into a diary when it begins, and one when it ends: around runbus, so
that executions can be counted whatever becomes of the server. `python lasting.py called <diary>
<gate>` calls one directly.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

from runbus import (
    Flow,
    flow,
    get_run_context,
    pause_flow_run,
    receive_input,
    serve,
)


class Diary:
    """What executions write down, and the file that they wait for."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "diary"
        self.gate = directory / "gate"

    @property
    def given(self) -> dict[str, str]:
        """The parameters of a flow that uses it."""
        return {"diary": str(self.path), "gate": str(self.gate)}

    def count(self, what: str) -> int:
        """How many executions have written this."""
        return len(self.runs(what))

    def runs(self, what: str) -> list[str]:
        """Whose executions have written this, as often as they did."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [line.partition(" ")[0] for line in lines if line.endswith(f" {what}")]


def note(diary: str, what: str) -> None:
    with Path(diary).open("a") as file:
        file.write(f"{get_run_context().run_id} {os.getpid()} {what}\n")


def is_open(gate: str) -> bool:
    return Path(gate).exists()


@flow
async def hold(diary: str, gate: str) -> str:
    """Execute until the gate is there, and call no verb."""
    note(diary, "begins")
    while not is_open(gate):
        await asyncio.sleep(0.02)
    note(diary, "ends")
    return "held"


@flow
def sync_hold(diary: str, gate: str) -> str:
    note(diary, "begins")
    while not is_open(gate):
        time.sleep(0.02)
    note(diary, "ends")
    return "held"


@flow
async def ask(diary: str, gate: str) -> int:
    """Wait for an answer."""
    note(diary, "begins")
    return await pause_flow_run(int)


@flow
async def listen(diary: str, gate: str) -> int:
    """Wait for an input."""
    note(diary, "begins")
    return await receive_input(int, timeout=None).next()


@flow(retries=1, retry_delay_seconds=0.5)
async def stumble(diary: str, gate: str) -> str:
    """Fail once, and be called again."""
    if get_run_context().flow_run.retry == 0:
        note(diary, "begins")
        raise ValueError("on purpose")
    note(diary, "ends")
    return "held"


@flow
async def quick() -> str:
    return "done"


if __name__ == "__main__":
    what, *names = sys.argv[1:]
    if what == "called":
        called: Any = globals()[names[0]]
        call = called(*names[1:])
        if called.is_async:
            asyncio.run(call)
    else:
        served = [
            each.to_deployment("x")
            for each in list(globals().values())
            if isinstance(each, Flow) and (not names or each.name in names)
        ]
        serve(*served, limit=int(what) or None)
