"""Processes that begin at once: forks of one that has imported the command before.

A process of its own for each command takes a second, most of it for imports. These are processes
all the same: with their own environment, standard streams and, if they are given one, terminal.
"""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import sys
import termios
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import runbus.cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.process import BaseProcess

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([
    *(f"runbus.cli.{path.stem}" for path in Path(runbus.cli.__file__).parent.glob("[!_]*.py")),
    *("jsonschema_rs", "pydantic_settings", "redis.asyncio", "rich.markdown", "runbus.flows"),
    *("runbus.settings.model", "runbus.store.topology", "rich.progress", "runbus.worker"),
    *("cyclopts.completion", "uuid"),
])  # fmt: skip


def start(
    call: Callable[..., Any],
    *arguments: Any,
    streams: Sequence[int],
    environment: dict[str, str],
    owns_terminal: bool = False,
) -> BaseProcess:
    """Call a module's function in a process with these standard streams (their descriptors).

    With `owns_terminal`, the streams are a terminal that becomes the process's own: so Ctrl-C
    reaches it.
    """
    ends = [Connection(os.dup(stream)) for stream in streams]  # which can be passed on
    process = _CONTEXT.Process(
        target=_begin, args=(ends, environment, owns_terminal, call, arguments), daemon=True
    )
    process.start()
    for end in ends:
        end.close()
    return process


def _begin(
    ends: list[Connection],
    environment: dict[str, str],
    owns_terminal: bool,
    call: Callable[..., Any],
    arguments: Sequence[Any],
) -> None:
    for number, end in enumerate(ends):
        os.dup2(end.fileno(), number)
        end.close()
    if owns_terminal:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    warnings.simplefilter("error")
    call(*arguments)


def command(*words: str) -> None:
    """The command `runbus`."""
    sys.argv = ["runbus", *words]
    runbus.cli.main()


@contextlib.contextmanager
def running(process: BaseProcess) -> Iterator[BaseProcess]:
    """A process that ends with the test, whatever it does."""
    try:
        yield process
    finally:
        process.kill()
        process.join()
