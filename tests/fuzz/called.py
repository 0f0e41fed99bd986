"""The command line in this process, with words and input of any kind."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from unittest.mock import patch

from runbus.cli.app import run


@dataclass(frozen=True)
class Called:
    """How a command ended, and what it printed."""

    code: int
    shown: str
    told: str


class _Stream(io.TextIOWrapper):
    is_terminal = False

    def isatty(self) -> bool:
        return self.is_terminal


def call(*words: str, stdin: bytes = b"", on_terminal: bool = False) -> Called:
    """Call the command; what it prints goes into a pipe, or onto a terminal."""
    keyboard, shown, told = (
        _Stream(io.BytesIO(given), "utf-8", newline="") for given in (stdin, b"", b"")
    )
    shown.is_terminal = told.is_terminal = on_terminal
    with (
        patch.object(sys, "stdin", keyboard),
        contextlib.redirect_stdout(shown),
        contextlib.redirect_stderr(told),
    ):
        code = run(words)
        shown.flush()
        told.flush()
    return Called(code, _text(shown), _text(told))


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()
