"""Rows about what a fresh process loads before it does anything.

Both sides find their modules compiled, as those of an installed package are: in a folder of the
benchmark's own, so that neither what lies about nor `PYTHONDONTWRITEBYTECODE` makes one side
compile and the other not. What counts is processor time: all of it is work, and a clock would also
count what other processes do meanwhile. The import is measured without the start of the
interpreter; a command of the command line is a whole process, and so is what it is compared with.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.measure import Goal, Row, compared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.bench import Bench

    Environment = dict[str, str]

_ROUNDS = 15
_TIMED = """
from time import process_time
start = process_time()
{work}
print(process_time() - start)
"""
_RUNBUS = _TIMED.format(work="from runbus import flow, pause_flow_run, send_input")
_PARTS = _TIMED.format(
    work="""
import redis.asyncio, pydantic
class Model(pydantic.BaseModel):
    text: str
"""
)
_COMMAND = "from runbus.cli import main; main()"
_HELP = "from cyclopts import App; App(help_format='plaintext')(['--help'])"
_LIBRARIES = """
import redis.asyncio
from cyclopts import App
from pydantic_settings import BaseSettings
"""


def importing(bench: Bench) -> Iterator[Row]:
    """The verbs of a program with a flow, beside the imports that runbus stands on."""
    yield compared(
        "from runbus import flow, pause_flow_run, send_input",
        _pairs(bench, lambda environment: _told(_RUNBUS, environment), _PARTS, _told),
        unit="ms",
        versus="redis.asyncio, pydantic, a model",
        goal=Goal("<=", 0.75),
    )


def helping(bench: Bench) -> Iterator[Row]:
    """The command line's help, beside that of an app without commands."""
    versus = "the help of an empty cyclopts app"
    yield _command(bench, "--help", code=_HELP, versus=versus, goal=Goal("<=", 1.4))


def listing(bench: Bench) -> Iterator[Row]:
    """A command that asks a server that runs, for a list that is empty."""
    versus = "import redis.asyncio, pydantic_settings, cyclopts"
    yield _command(bench, "run", "ls", code=_LIBRARIES, versus=versus, goal=Goal("<=", 1.6))


def _command(bench: Bench, *words: str, code: str, versus: str, goal: Goal) -> Row:
    def run(environment: Environment) -> float:
        return _whole(_COMMAND, {**environment, "RUNBUS_URL": bench.url}, *words)

    pairs = _pairs(bench, run, code, _whole)
    return compared(f"runbus {' '.join(words)}", pairs, unit="ms", versus=versus, goal=goal)


def _pairs(
    bench: Bench,
    ours: Callable[[Environment], float],
    code: str,
    theirs: Callable[[str, Environment], float],
) -> list[tuple[float, float]]:
    with _compiled() as environment:
        ours(environment)
        theirs(code, environment)
        return [(ours(environment), theirs(code, environment)) for _ in bench.rounds(_ROUNDS)]


@contextmanager
def _compiled() -> Iterator[Environment]:
    with tempfile.TemporaryDirectory(prefix="runbus-speed-") as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        yield environment


def _told(code: str, environment: Environment) -> float:
    """Return the milliseconds that a process says it took."""
    return float(_output(code, environment)) * 1e3


def _whole(code: str, environment: Environment, *words: str) -> float:
    """Return the milliseconds that a process took from its start to its end."""
    start = _of_children()
    _output(code, environment, *words)
    return (_of_children() - start) * 1e3


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _output(code: str, environment: Environment, *words: str) -> str:
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment
    ).stdout
