"""The README's code and commands do what the README says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import Server

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = [
    (language, dedent(code))
    for language, code in re.findall(r"```(\w+)\n(.*?)^ *```", README, re.DOTALL | re.MULTILINE)
]
PROGRAMS = [
    (code, BLOCKS[number + 1][1])
    for number, (language, code) in enumerate(BLOCKS)
    if language == "python" and BLOCKS[number + 1][0] == "text"
]
COMMANDS = [code for language, code in BLOCKS if language == "console"]
SETUP = next(code for language, code in BLOCKS if language == "python" and "3fa85f64" in code)
LINE_OF_A_RUN = re.compile(r"\d\d:\d\d:\d\d  [a-z]+-[a-z]+(:| goes on| is paused)")
ENTRY_ID = re.compile(r"\d{13}-\d+")


def run(code: str, server: Server) -> str:
    """What a program prints; nothing on its standard error."""
    environment = {**os.environ, "RUNBUS_URL": server.url}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    told = [line for line in done.stderr.splitlines() if not LINE_OF_A_RUN.match(line)]
    assert (done.returncode, told) == (0, [])
    return done.stdout


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_a_program_prints_what_stands_below_it(valkey: Server, number: int) -> None:
    """Each Python block with an output block behind it prints just that."""
    code, output = PROGRAMS[number]
    assert run(code, valkey) == output


@pytest.mark.keys_without_lifetime
def test_the_redis_cli_commands_show_what_stands_below_them(server: Server) -> None:
    """The commands of the inspection section, one after the other, print what it says."""
    if shutil.which("redis-cli") is None:
        assert "CI" not in os.environ, "redis-cli is required here"
        pytest.skip("no redis-cli")
    run(SETUP, server)
    assert len(COMMANDS) == 5
    for block in COMMANDS:
        command, _, output = block.removeprefix("$ ").partition("\n")
        command = command.replace("redis-cli", f"redis-cli -u {server.url}", 1)
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, timeout=30, check=True
        )
        assert ENTRY_ID.sub("<id>", done.stdout) == ENTRY_ID.sub("<id>", output)


def test_there_is_one_command_for_each_purpose() -> None:
    """One line runs the main job, one line runs the tests, each from nothing but Python."""
    commands = [code for language, code in BLOCKS if language == "sh"]
    assert [command.split()[:3] for command in commands] == [["python3", "-m", "venv"]] * 2
    assert commands[0].endswith("runbus demo\n")
    assert commands[1].endswith("python -m pytest\n")


def test_the_settings_table_is_complete() -> None:
    """Each setting is in the README, with its prefix."""
    from runbus.settings import Settings

    named = set(re.findall(r"^\| `RUNBUS_(\w+)`", README, re.MULTILINE))
    assert named == {name.upper() for name in Settings.model_fields}


def program(name: str) -> str:
    """The one program that the README shows and that has this in it."""
    (code,) = (code for language, code in BLOCKS if language == "py" and name in code)
    return code


@contextmanager
def running(code: str, server: Server) -> Iterator[subprocess.Popen[str]]:
    """A program in a process of its own, with pipes to it."""
    pipe = subprocess.PIPE
    environment = {**os.environ, "RUNBUS_URL": server.url, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-W", "error", "-c", code]
    with subprocess.Popen(
        command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_greeter_greets_the_sender(valkey: Server) -> None:
    """The two programs of the main job, in two processes."""
    with running(program("greeter.serve"), valkey) as greeter:
        assert greeter.stderr
        assert "serving greeter/demo" in greeter.stderr.readline()
        with running(program("def sender"), valkey) as sender:
            said, told = sender.communicate("Ada\nGrace\nq\n", timeout=30)
        asked = "What is your name? "
        assert (sender.returncode, said) == (
            0,
            f"{asked}Hello, Ada!\n{asked}Hello, Grace!\n{asked}",
        )
        assert not [line for line in told.splitlines() if not LINE_OF_A_RUN.match(line)]
        while "Completed" not in (line := greeter.stderr.readline()):
            assert LINE_OF_A_RUN.match(line)
        greeter.terminate()
        assert greeter.wait(30) == 0


def test_a_newcomer_pauses_answers_and_resumes(valkey: Server) -> None:
    """The programs on pausing, in two processes; each terminal shows what the README shows."""
    shown = [
        line for language, code in BLOCKS if language == "text" for line in code.splitlines()
        if "calm-otter" in line or "news:" in line
    ]  # fmt: skip
    with running(program("def publish"), valkey) as publishing:
        assert publishing.stderr
        told = [publishing.stderr.readline() for _ in range(2)]
        assert run(program('by="ada"'), valkey) == "Shall **The news** go out?\n"
        said, rest = publishing.communicate(timeout=30)
    assert publishing.returncode == 0
    lines = [line.rstrip("\n") for line in (*told, *rest.splitlines())]
    name = lines[0].split()[1].rstrip(":")
    seen = [*lines[:3], said.rstrip("\n"), *lines[3:]]
    assert [line.replace(name, "calm-otter")[8:] for line in seen] == [line[8:] for line in shown]
