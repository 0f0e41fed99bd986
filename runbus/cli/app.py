"""A call of the command: which part of the program answers it, how it prints, how it ends."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

from runbus.cli import exits

if TYPE_CHECKING:
    from collections.abc import Sequence

_OBJECTS = 100_000


def run(words: Sequence[str]) -> int:
    """Run the command that `words` name and return its exit code."""
    gc.set_threshold(_OBJECTS)  # loading makes many objects and no garbage
    _never_fail_to_print()
    try:
        code = _answer(list(words))
        sys.stdout.flush()
    except BrokenPipeError:
        return _leave_pipe()
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    return code


def _answer(words: list[str]) -> int:
    # The help waits for nothing of what reads the words of a command.
    if words in ([], ["--help"], ["-h"]):
        from runbus.cli import help_page

        help_page.show()
        return exits.DONE
    from runbus.cli import parser

    return parser.call(words)


def _never_fail_to_print() -> None:
    # What the encoding of the terminal lacks is written as an escape, and what it cannot read is
    # left to whoever checks what was typed.
    reconfigure = getattr(sys.stdin, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="surrogateescape")
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _leave_pipe() -> int:
    # The reader has what it wanted. What is still buffered has nowhere to go.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return exits.DONE
