"""The command as its users call it: in a pipe, and on a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import tempfile
import termios
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import forked
import pexpect
import pexpect.fdpexpect

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 30
COLUMNS = 80
STYLE = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")
PROMPT = r"(> |\[y/N\] |\[Y/n\] )$"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def environment(**more: str) -> dict[str, str]:
    """The environment of a command: no colours by force, a size that does not depend on us."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"}
    }
    return kept | {"TERM": "xterm-256color", "TZ": "UTC"} | more


def run(*words: object, stdin: str = "", **more: str) -> Ended:
    """Call it in a pipe."""
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as told:
        given.write(stdin)
        given.seek(0)
        with _started(words, given.fileno(), told.fileno(), **more) as (process, output):
            printed = output.read()
            code = process.wait(SECONDS)
            told.seek(0)
            return Ended(code, printed, told.read())


@contextlib.contextmanager
def _started(
    words: tuple[object, ...], stdin: int, stderr: int, **more: str
) -> Iterator[tuple[forked.Process, IO[str]]]:
    ours, theirs = os.pipe()
    process = forked.call(
        *(forked.command, *map(str, words)),
        streams=(stdin, theirs, stderr),
        environment=environment(**more),
    )
    os.close(theirs)
    with process, open(ours) as output:  # noqa: PTH123
        yield process, output


def done(*words: object, stdin: str = "", **more: str) -> str:
    """What it prints when it goes well."""
    ended = run(*words, stdin=stdin, **more)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    return ended.stdout


def as_json(*words: object) -> Any:
    """What it prints with --json."""
    return json.loads(done(*words, "--json"))


def logged(run_id: object, text: str) -> None:
    """Wait until a text stands in the log of a run: lines arrive in batches."""
    end = time.monotonic() + SECONDS
    while text not in done("run", "logs", run_id):
        assert time.monotonic() < end, f"{text} was not logged"


def failed(code: int, *words: object, stdin: str = "", **more: str) -> str:
    """The one line of its error."""
    ended = run(*words, stdin=stdin, **more)
    assert (ended.returncode, ended.stdout) == (code, ""), ended
    assert ended.stderr.startswith("runbus: ")
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr


@contextlib.contextmanager
def started(*words: object) -> Iterator[tuple[forked.Process, IO[str]]]:
    """A command that goes on, and the pipe with its output; it is ended with the test."""
    with open(os.devnull) as nothing, _started(words, nothing.fileno(), 2) as found:  # noqa: PTH123
        yield found


@contextlib.contextmanager
def closed_early(*words: object) -> Iterator[tuple[forked.Process, IO[str]]]:
    """A command whose reader has left before it began, and the file of its errors."""
    with (
        open(os.devnull) as nothing,  # noqa: PTH123
        tempfile.TemporaryFile("w+") as told,
        _started(words, nothing.fileno(), told.fileno()) as (process, output),
    ):
        output.close()
        yield process, told


class Terminal:
    """A terminal of 80 columns in which the command runs."""

    def __init__(self, *words: object, **more: str) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        self.process = forked.call(
            *(forked.command, *map(str, words)),
            streams=(theirs, theirs, theirs),
            environment=environment(**more),
            owns_terminal=True,
        )
        os.close(theirs)
        self._side = pexpect.fdpexpect.fdspawn(ours, timeout=SECONDS, encoding="utf-8")
        self.raw = ""
        """All that was written to the terminal."""

    @property
    def shown(self) -> str:
        """What a person has read, without colours."""
        return STYLE.sub("", self.raw).replace("\r", "")

    def until(self, text: str) -> None:
        """Wait for a text."""
        self._side.expect_exact(text)
        self.raw += f"{self._side.before}{self._side.after}"

    def wait_for(self, text: str, seconds: float) -> None:
        """Wait for a text. Raises `TimeoutError`."""
        try:
            self._side.expect_exact(text, timeout=seconds)
        except pexpect.TIMEOUT:
            raise TimeoutError(text) from None
        self.raw += f"{self._side.before}{self._side.after}"

    def answer(self, *lines: str) -> None:
        """Type a line at each prompt, one after the other."""
        for line in lines:
            self._at_prompt()
            self._side.send(line + "\r")

    def press(self, key: str) -> None:
        """Press Ctrl and a key at the next prompt."""
        self._at_prompt()
        self.send(chr(ord(key) & 0x1F))

    def send(self, text: str) -> None:
        self._side.send(text)

    def _at_prompt(self) -> None:
        self._side.expect(PROMPT)
        self.raw += f"{self._side.before}{self._side.after}"

    def end(self) -> int:
        """Wait for the end of the command; return its exit code."""
        with contextlib.suppress(pexpect.EOF, OSError):
            self._side.expect(pexpect.EOF)
        self.raw += str(self._side.before or "")
        return self.process.wait(SECONDS)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._side.close()


@contextlib.contextmanager
def terminal(*words: object, **more: str) -> Iterator[Terminal]:
    """A command on a terminal; it is ended with the test."""
    found = Terminal(*words, **more)
    try:
        yield found
    finally:
        found.close()
