"""Fixtures for the tests of programs that use runbus: `pytest_plugins = ["runbus.testing"]`.

`runbus_server` gives a test a real server, empty and of the tests' own. It needs
`runbus[embedded]` and pytest.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runbus.background import bridge
from runbus.background.background_loop import background
from runbus.settings import temporary_settings
from runbus.store.bus import current_bus
from runbus.store.embedded import server

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH = 1000


@pytest.fixture(scope="session")
def runbus_server_url() -> Iterator[str]:
    """The URL of a Valkey server that ends, with all that it holds, when the tests have ended."""
    home = Path(tempfile.mkdtemp(prefix="runbus-"))  # short: a socket's path may not be long
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RUNBUS_HOME", str(home))
        url = server.ensure_running()
    yield url
    background.stop()  # first: it would say, after pytest's summary, that the server is gone
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RUNBUS_HOME", str(home))
        server.stop()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def runbus_server(runbus_server_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Let runbus, and processes that the test starts, use that server, which is empty.

    No setting of this machine counts meanwhile: all others have their defaults.
    """
    for name in [name for name in os.environ if name.startswith("RUNBUS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RUNBUS_CONFIG", os.devnull)
    monkeypatch.setenv("RUNBUS_URL", runbus_server_url)
    with temporary_settings():
        bridge.run(_remove_keys)
        yield runbus_server_url


async def _remove_keys() -> None:
    bus = current_bus()
    cursor = b"0"
    while True:
        cursor, keys = await bus.commands.command("SCAN", cursor, "COUNT", BATCH)
        if keys:
            await bus.commands.command("UNLINK", *keys)
        if cursor == b"0":
            return
