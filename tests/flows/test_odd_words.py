"""Words that cannot be stored, or made: a run ends for all that, and its lines fail no flow."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from runbus import get_client
from runbus.background.bridge import run as block

if TYPE_CHECKING:
    from servers import Server

SCRIPT = r"""
import asyncio
from runbus import flow, get_run_logger

HALF = "no such file \udcff.txt"

class Unsayable(Exception):
    def __str__(self):
        raise SystemExit(9)

class Unshown:
    def __repr__(self):
        raise ValueError("it has no words")

def fails(): raise ValueError(HALF)
def fails_without_words(): raise Unsayable
def logs(): get_run_logger().info(HALF)
def prints(): print(HALF)
def logs_what_does_not_fit(): get_run_logger().info("%d of %d", "one")
def logs_what_cannot_be_shown(): get_run_logger().info("%r", Unshown())

async def in_loop():
    CODE()

try:
    if IS_ASYNC:
        asyncio.run(flow(name="odd", log_prints=True)(in_loop)())
    else:
        flow(name="odd", log_prints=True)(CODE)()
    print("returned")
except (ValueError, Unsayable) as error:
    print("raised", type(error).__name__)
"""
SAYS = "no such file \\udcff.txt"


def done(server: Server, code: str, *, is_async: bool) -> tuple[str, str]:
    """Call a flow in a process of its own; return what that says, on both streams."""
    script = SCRIPT.replace("IS_ASYNC", str(is_async)).replace("CODE", code)
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={"RUNBUS_URL": server.url, "PYTHONUTF8": "1"},
        capture_output=True,
        timeout=60,
        check=True,
    )
    return process.stdout.decode(), process.stderr.decode(errors="replace")


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("code", "raised", "message"),
    [
        ("fails", "ValueError", f"ValueError: {SAYS}"),
        ("fails_without_words", "Unsayable", "Unsayable"),
    ],
)
def test_an_error_with_odd_words(
    server: Server, code: str, raised: str, message: str, *, is_async: bool
) -> None:
    """Its caller gets it as it is; the record has what can be stored of it."""
    said, _ = done(server, code, is_async=is_async)
    assert said == f"raised {raised}\n"
    (run,) = block(lambda: get_client().read_flow_runs(flow_name="odd"))
    assert (run.state.name, run.state.message) == ("Failed", message)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("logs", [SAYS]),
        ("prints", [SAYS]),
        ("logs_what_does_not_fit", []),
        ("logs_what_cannot_be_shown", []),
    ],
)
def test_a_line_with_odd_words(
    valkey: Server, code: str, lines: list[str], *, is_async: bool
) -> None:
    """The flow goes on; what cannot be said is told as the standard library tells it."""
    said, told = done(valkey, code, is_async=is_async)
    assert said == "returned\n"
    assert ("--- Logging error ---" in told) == (not lines)
    (run,) = block(lambda: get_client().read_flow_runs(flow_name="odd"))
    assert run.state.name == "Completed"
    kept = block(lambda: get_client().read_logs(run.id))
    assert [line.message for line in kept if "udcff" in line.message] == lines
