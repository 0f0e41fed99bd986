"""The fixtures for users' own tests, in a test run of a user's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

USERS_TESTS = """
import os, subprocess, sys, threading
from contextlib import suppress
import pytest
from runbus import (
    flow, get_client, pause_flow_run, receive_input, send_input, settings
)
from runbus.background.bridge import run
from runbus.variables import Variable

RUN_ID = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
pytestmark = pytest.mark.usefixtures("runbus_server")


@flow
def double(number: int) -> int:
    return 2 * number


@pytest.mark.parametrize("number", [1, 2])
def test_each_begins_with_an_empty_server(number: int) -> None:
    assert run(lambda: get_client().read_flow_runs()) == []
    assert Variable.get("seen") is None
    Variable.set("seen", number)
    assert double(number) == 2 * number
    assert len(run(lambda: get_client().read_flow_runs())) == 1


def test_processes_use_the_same_server(runbus_server: str) -> None:
    code = f"from runbus import send_input; send_input('hi', '{RUN_ID}')"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert receive_input(str, flow_run_id=RUN_ID, timeout=20).next() == "hi"
    assert runbus_server.startswith("unix://")


def test_a_flow_may_be_left_alone() -> None:
    begun = threading.Event()

    @flow
    def ask() -> None:
        begun.set()
        pause_flow_run(int)

    def ask_alone() -> None:
        with suppress(BaseException):  # the next test begins without its run
            ask()

    threading.Thread(target=ask_alone, daemon=True).start()
    assert begun.wait(20)


def test_settings_of_this_machine_do_not_count() -> None:
    assert settings.current().prefix == "runbus"
    assert settings.current().lease_seconds == 30
"""


def test_a_users_tests_have_a_server_of_their_own(
    tmp_path: Path,
) -> None:
    """It is empty for each test, reached by processes too, and gone when the tests have ended."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["runbus.testing"]\n')
    (tmp_path / "test_users.py").write_text(USERS_TESTS)
    (tmp_path / "temporary").mkdir()
    environment = {
        **os.environ,
        "RUNBUS_PREFIX": "somebody",
        "RUNBUS_URL": "redis://127.0.0.1:1/0",
        "TMPDIR": str(tmp_path / "temporary"),
    }
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(r"5 passed in [\d.]+s", done.stdout.splitlines()[-1])
    assert done.stderr == ""
    assert not [path for path in (tmp_path / "temporary").iterdir() if path.name != "pytest"]
