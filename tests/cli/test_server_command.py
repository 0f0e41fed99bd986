"""`runbus server` as a user calls it: in a pipe, on a terminal, and with something wrong."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from console import run, terminal

from runbus import __version__
from runbus.store.embedded import server

ESCAPE = "\x1b"
COLOUR = re.compile(r"\x1b\[[\d;]*[39]\dm")


@pytest.fixture(autouse=True)
def home(monkeypatch):
    """A RUNBUS_HOME with a short path, whose server ends with the test."""
    path = Path(tempfile.mkdtemp(prefix="rb-"))
    monkeypatch.setenv("RUNBUS_HOME", str(path))
    yield path
    monkeypatch.setenv("RUNBUS_HOME", str(path))
    server.stop()
    shutil.rmtree(path)


def on_terminal(*words, **more):
    """What the command writes to a terminal."""
    with terminal(*words, **more) as shell:
        shell.end()
    return shell.raw


def assert_error(ended, code, text):
    assert ended.returncode == code
    assert ended.stdout == ""
    assert ended.stderr.startswith("runbus: ")
    assert ended.stderr.count("\n") == 1
    assert text in ended.stderr


def test_start_and_stop(home):
    """Starting and stopping each work twice, say what happened, and end with 0."""
    url = f"unix://{home}/server/server.sock"
    steps = [("start", f"Started: {url}"), ("start", f"It runs already: {url}")]
    steps += [("stop", "Stopped."), ("stop", "Nothing was running.")]
    for verb, said in steps:
        ended = run("server", verb)
        assert (ended.stdout, ended.stderr, ended.returncode) == (f"{said}\n", "", 0)


def test_start_beside_a_url(monkeypatch):
    """Who starts the server although RUNBUS_URL is set is told that it is not used."""
    monkeypatch.setenv("RUNBUS_URL", "redis://:hidden@elsewhere")
    ended = run("server", "start")
    assert ended.returncode == 0
    assert "RUNBUS_URL is set" in ended.stdout
    assert "hidden" not in ended.stdout


def test_status_when_nothing_runs():
    """Without a server the status says how to start it, and ends with 3."""
    ended = run("server", "status")
    assert ended.returncode == 3
    assert "runbus server start" in ended.stdout
    ended = run("server", "status", "--json")
    assert ended.returncode == 3
    assert json.loads(ended.stdout) == {"running": False}


def test_status_in_a_pipe(home):
    """In a pipe the status is a line for each thing, with no escape codes and nothing wrapped."""
    server.ensure_running()
    ended = run("server", "status")
    assert ended.returncode == 0
    assert ESCAPE not in ended.stdout
    lines = dict(line.split(": ", 1) for line in ended.stdout.splitlines())
    assert lines["pid"] == str(server.status().pid)
    assert lines["directory"] == str(home / "server")


def test_status_as_json(home):
    """With --json the status is one object, whose numbers are numbers."""
    server.ensure_running()
    ended = run("server", "status", "--json")
    assert ended.returncode == 0
    found, expected = json.loads(ended.stdout), server.status()
    assert found["running"] is True
    assert (found["pid"], found["url"]) == (expected.pid, expected.url)
    assert found["directory"] == str(home / "server")
    assert found["memory_bytes"] > 100_000


def test_status_on_a_terminal(home):
    """On a terminal the status is a table; colours are there unless NO_COLOR is set."""
    url = server.ensure_running()
    table = on_terminal("server", "status")
    assert ESCAPE in table
    assert url in table
    assert COLOUR.search(on_terminal("server", "status", "--json"))
    assert not COLOUR.search(on_terminal("server", "status", "--json", NO_COLOR="1"))


@pytest.mark.parametrize("verb", ["start", "status"])
def test_error(home, monkeypatch, verb):
    """An error is one line on stderr and exit code 1."""
    monkeypatch.setenv("RUNBUS_HOME", str(home / "file"))
    (home / "file").mkdir()
    (home / "file" / "server").touch()
    assert_error(run("server", verb), 1, "is not a directory")


def test_error_with_debug(home, monkeypatch):
    """With --debug an error shows where it comes from, wherever in the line --debug stands."""
    (home / "file").touch()
    monkeypatch.setenv("RUNBUS_HOME", str(home / "file"))
    for words in (("--debug", "server", "start"), ("server", "start", "--debug")):
        ended = run(*words)
        assert ended.returncode == 1
        assert "Traceback" in ended.stderr
        assert "runbus.errors.EmbeddedServerError" in ended.stderr


def test_wrong_call():
    """A command that does not exist is one line on stderr and exit code 2."""
    assert_error(run("serve"), 2, 'Unknown command "serve"')
    assert_error(run("server", "start", "--fast"), 2, "Unknown option: --fast")


def test_help_and_version():
    """The version and the help, also the help for no command, end with 0 and no escapes."""
    assert run("--version").stdout == f"{__version__}\n"
    for words in ((), ("server", "--help")):
        ended = run(*words)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert "Usage: runbus" in ended.stdout
        assert ESCAPE not in ended.stdout


@pytest.mark.parametrize("missing", ["cyclopts", "rich"])
def test_without_the_extra(missing):
    """Without the extra's packages the command says what to install, and ends with 2."""
    code = f"import sys; sys.modules[{missing!r}] = None; from runbus.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert_error(ended, 2, "pip install 'runbus[cli]'")
