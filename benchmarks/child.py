"""Child processes that are asked line by line.

A child reads a line of JSON, does what it says, and answers with a line of JSON. It ends when its
standard input does: so also when the benchmark is killed.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

_END_SECONDS = 3.0


class Child:
    """A child process, seen from its parent."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, request: object) -> Any:
        """Send a request and wait for the answer."""
        self.tell(request)
        return self.answer()

    def tell(self, request: object) -> None:
        """Send a request."""
        assert self._process.stdin is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)

    def answer(self) -> Any:
        """Wait for an answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the child process {self._process.args} ended")
        return json.loads(line)


@contextmanager
def child(module: str, **arguments: object) -> Iterator[Child]:
    """Run `benchmarks.<module>` for the time of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{module}", json.dumps(arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C at the terminal is the parent's to handle
    )
    try:
        yield Child(process)
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


# In the child.


def arguments() -> dict[str, Any]:
    """Return what the parent passed."""
    return json.loads(sys.argv[1])


def reply(answer: object) -> None:
    """Answer the parent."""
    print(json.dumps(answer), flush=True)


async def requests() -> AsyncIterator[Any]:
    """Yield the parent's requests, until there are no more."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield json.loads(line)


async def cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    """End tasks."""
    while not all(task.done() for task in tasks):
        for task in tasks:
            task.cancel()
        # Now and then redis-py swallows a cancellation: once is not enough.
        await asyncio.wait(tasks, timeout=0.1)
