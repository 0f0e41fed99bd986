"""gevent and eventlet: refused, with what to do, as runbus would hang."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from servers import Server

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "gevent without threads": "from gevent import monkey; monkey.patch_all(thread=False)",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}
SEND = """
try:
    send_input(2, run_id)
except UsageError as error:
    print(error)
"""
SEND_ASYNC = """
import asyncio
async def send():
    try:
        await send_input(2, run_id)
    except UsageError as error:
        print(error)
asyncio.run(send())
"""


def output_of(script: str, server: Server) -> str:
    command = [sys.executable, "-W", "ignore", "-c", script]
    environment = {"RUNBUS_URL": server.url}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=20, check=False)
    return (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("patch", PATCHES)
def test_patched_before_the_import(valkey: Server, patch: str) -> None:
    """The import is refused, in words that say what to use instead."""
    output = output_of(f"{PATCHES[patch]}\nimport runbus", valkey)
    assert f"MonkeyPatched: {patch.split(maxsplit=1)[0]} has patched" in output
    assert "socket" in output
    assert "use plain threads" in output


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("sends_before", [False, True])
@pytest.mark.parametrize("send", [SEND, SEND_ASYNC], ids=["sync", "async"])
def test_patched_after_the_import(
    valkey: Server, patch: str, sends_before: bool, send: str
) -> None:
    """The next verb is refused, whether the background loop runs already or not."""
    script = f"""
from uuid import uuid4
from runbus import send_input
from runbus.errors import UsageError
run_id = uuid4()
if {sends_before}:
    send_input(1, run_id)
{PATCHES[patch]}
{send}
"""
    assert f"{patch.split(maxsplit=1)[0]} has patched" in output_of(script, valkey)


def test_not_patched(valkey: Server) -> None:
    """A program may use gevent without patching anything."""
    script = """
import eventlet, gevent.monkey
from uuid import uuid4
from runbus import send_input
print(send_input(1, uuid4()).entry_id is not None)
"""
    assert output_of(script, valkey) == "True\n"
