"""Any words: a command does what they say, or says in one line why it does not."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fuzz import hostile
from fuzz.called import call
from runbus.cli import exits
from runbus.errors import SettingsError
from runbus.web.options import read_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers import Server

pytestmark = pytest.mark.keys_without_lifetime
RUN_ID = UUID("3fa85f64-5717-4562-b3fc-2c963f66afb7")
CODES = {
    *(exits.DONE, exits.FAILED, exits.WRONGLY_CALLED, exits.NOT_RUNNING, exits.INTERRUPTED),
}
# Without those that go on until they are stopped, or start what goes on.
COMMANDS = (
    *("", "run", "run ls", "run show", "run logs", "run cancel", "deployment ls", "resume", "send"),
    *("deployment run", "inputs", "worker ls", "server status", "server", "acl", "doctor"),
    *(f"run show {RUN_ID}", f"inputs {RUN_ID}", f"send {RUN_ID}", f"resume {RUN_ID} --input"),
    *(f"send {RUN_ID} -", f"resume {RUN_ID} --input -", f"run show {RUN_ID} --lines", "events"),
    *("deployment run a/b -p", "deployment run a/b --tag", "run ls --limit", "run ls --offset"),
    *("run ls --flow", "run ls --deployment", "run ls --text", "run ls --state", "acl --prefix"),
    *("acl --password-file", "acl --beside", f"send {RUN_ID} 1 --type", f"send {RUN_ID} 1 --key"),
)
WORDS = (
    *("--", "-", "---", "--json", "--help", "--version", "--limit", "--input", "-p", "=", "a="),
    *("@", "@/", "@/dev/null", "/dev/full", "/", "@\x00", "\x00", "x" * 50_000, "-9", "9" * 30),
    *("\ud800", "\udc80", "\udcff/x", "/dev/null/x", str(RUN_ID), "{", "{}", "a/b", "..", "%s"),
)
GO_ON = ("-f", "--f", "-w", "--w", "--install", "-h", "--debug")  # `--debug` wants the traceback
words = (
    st.sampled_from(WORDS)
    | hostile.lines
    | hostile.texts
    | st.text(st.characters(), max_size=6).filter(lambda word: not word.startswith(GO_ON))
)
stdin = hostile.json_bytes


@pytest.fixture
def somewhere(tmp_path: Path, valkey: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A directory of the test's own: words may be names of files. In the store is one run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RUNBUS_URL", valkey.url)
    with valkey.client() as client:
        key = f"runbus:{{b7}}:{RUN_ID}:run"
        client.hset(key, mapping={"state_name": "Suspended", "name": "x", "deployment": "a/b"})
    return


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(COMMANDS), st.lists(words, max_size=4), stdin)
def test_any_words(somewhere: None, command: str, words: list[str], stdin: bytes) -> None:
    """An exit code that is documented; an error is one harmless line, and one that was foreseen."""
    with hostile.bounded():
        ended = call(*command.split(), *words, stdin=stdin)
    assert ended.code in CODES
    hostile.assert_harmless(ended.told)
    if ended.code not in {exits.DONE, exits.NOT_RUNNING} and not ended.shown:
        assert ended.told.startswith("runbus: ")
        assert ended.told.count("\n") == 1
        assert "should not happen" not in ended.told


def test_the_page_is_not_called_with_half_a_word() -> None:
    """What no program can be called with."""
    for word in ("\x00", "--port\x00", "\ud800"):
        ended = call("web", word)
        assert ended.code == exits.WRONGLY_CALLED
        assert ended.told.count("\n") == 1


@example(["--token-file", "\x00"])
@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["--host", "--port", "--token-file", "--allowed-host"]) | words))
def test_options_of_the_page(words: list[str]) -> None:
    """They are read, or refused."""
    with hostile.bounded(), contextlib.suppress(SettingsError, SystemExit):
        read_options(words)
