"""What strangers name and say is only read on a terminal: it neither steers it nor forges lines."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from faults import PATIENCE, started, until

from runbus import flow, get_client, get_run_logger
from runbus.background.bridge import run as block
from runbus.execution.run_logger import TerminalFormatter
from runbus.protocol.printed import one_line, readable, readable_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers import Server

HOSTILE = "\x1b]0;owned\x07\x9b2J\u202egnp.exe\n12:00:00  calm-otter: Completed\r%s"
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
FORGED = re.compile("^12:00:00", re.MULTILINE)
WORKER = """
import logging, sys
from runbus import flow, get_run_logger

if sys.argv[1:] == ["own"]:
    logging.basicConfig(level=logging.INFO, format="%(message)s")

@flow
def speak(words: str):
    if sys.argv[1:] != ["own"]:
        get_run_logger().info(words)
        get_run_logger().error("a traceback", exc_info=ValueError(words))
    raise ValueError(words)

speak.serve(name="x")
"""


@contextmanager
def worker_said(valkey: Server, tmp_path: Path, *words: str) -> Iterator[Path]:
    """A worker, and the file with what it prints."""
    script, said = tmp_path / "speaking.py", tmp_path / "said"
    script.write_text(WORKER)
    with said.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, script, *words],
            stdout=file,
            stderr=file,
            env={**os.environ, "RUNBUS_URL": valkey.url},
        )
    try:
        yield said
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.mark.parametrize("words", [(), ("own",)], ids=["its own handler", "the program's handler"])
def test_a_worker_prints_what_strangers_name(
    valkey: Server, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """A name, a line, an error with escapes, line ends and turned text are printed as texts."""
    with worker_said(valkey, tmp_path, *words) as said:
        started("speak/x", {"words": HOSTILE}, flow_run_name=f"otter{HOSTILE}")
        until(lambda: "Failed" in said.read_text())
    text = said.read_text()
    assert r"\x1b]0;owned\x07\x9b2J\u202egnp.exe" in text
    assert not STEERING.search(text)
    assert not FORGED.search(text)


def test_the_log_of_a_run_keeps_its_lines_as_they_are(valkey: Server) -> None:
    """What is stored is what was said, without the run's name, whatever that is."""

    @flow(flow_run_name="100%\n of it")
    def speak() -> None:
        get_run_logger().warning("one\ntwo %s", "\x1b[31mred")

    speak()

    def stored() -> Any:
        [run] = block(lambda: get_client().read_flow_runs())
        return block(lambda: get_client().read_logs(run.id))

    [line] = until(stored)
    assert line.message == "one\ntwo \x1b[31mred"


def test_a_record_of_several_lines_is_one_entry() -> None:
    """Its later lines, a traceback's among them, are indented on the terminal."""
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        record = logging.LogRecord("x", 20, "", 1, "one\ntwo", (), sys.exc_info())
    first, *later = TerminalFormatter("%(message)s").format(record).split("\n")
    assert first == "one"
    assert all(line.startswith(" " * 10) for line in later)
    assert "two" in later[0]


def test_one_function_for_each_kind_of_text() -> None:
    """Lines stay lines or become one; JSON stays the same JSON."""
    assert readable("a\tb\r\n\x1b\x85\u2028\u061c\ud800") == (
        "a    b\\r\n\\x1b\\x85\\u2028\\u061c\\ud800"
    )
    assert one_line("a\tb\nc\u2066") == r"a b\nc\u2066"
    assert readable_json('"\u202e\x7f é"') == r'"\u202e\u007f é"'
