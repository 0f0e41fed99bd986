r"""What is written for people: one console, and no text of a run that could steer it.

The names, log lines and questions of runs come from programs and from strangers. A terminal obeys
control characters, so each is written as an escape that can be read (`\x1b`), in pipes too: a pipe
often ends on a terminal.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Generator

# C0, DEL and C1; what turns the direction of text around; lone surrogates, which no terminal can
# show. Not the line feed, which only `one_line` takes out.
_STEERING = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SPELLED = {"\t": "    ", "\r": "\\r"}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # Rich would end the process with 1. Who has read enough, as `head` has, is not an error.
        raise BrokenPipeError


def console(*, stderr: bool = False) -> Console:
    """Return a console that takes texts as they are; what goes into a pipe is not wrapped."""
    to_terminal = is_terminal(sys.stderr if stderr else sys.stdout)
    return _Console(
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


def readable(text: str) -> str:
    """Return a text without anything that a terminal would obey. Its lines stay."""
    return _STEERING.sub(_spell, text)


def one_line(text: str) -> str:
    """Return a text as one line that a terminal only shows."""
    return _STEERING.sub(_spell, text.replace("\t", " ").replace("\n", "\\n"))


def _spell(found: re.Match[str]) -> str:
    character = found[0]
    return _SPELLED.get(character) or character.encode("unicode_escape").decode()
