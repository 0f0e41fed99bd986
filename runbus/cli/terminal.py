"""The terminal: one console for what is written for people, and whether there are any."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

    from rich.console import Console


def console(*, stderr: bool = False) -> Console:
    """Return a console that takes texts as they are; what goes into a pipe is not wrapped."""
    from runbus.cli.patient_console import PatientConsole  # late: a pipe needs nothing of rich

    to_terminal = is_terminal(sys.stderr if stderr else sys.stdout)
    return PatientConsole(
        stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=not to_terminal
    )


@contextmanager
def working(what: str) -> Generator[None]:
    """Say on a terminal what the block is at, until it is done."""
    with console(stderr=True).status(f"{what} …"):
        yield


def is_terminal(stream: IO[Any] | None) -> bool:
    """Tell whether a stream leads to a person."""
    return stream is not None and not stream.closed and stream.isatty()


def is_conversation() -> bool:
    """Tell whether a person can be asked."""
    return is_terminal(sys.stdin) and is_terminal(sys.stdout)
