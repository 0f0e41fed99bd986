"""Row about `import runbus`: ms in a fresh process, without the start of the interpreter.

The other side imports `redis.asyncio` and `pydantic`, and defines one model. Both find their
modules compiled, as those of an installed package are: in a folder of the benchmark's own, so that
neither what lies about nor `PYTHONDONTWRITEBYTECODE` makes one side compile and the other not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from benchmarks.measure import Goal, Row, compared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench

_TIMED = """
from time import perf_counter
start = perf_counter()
{work}
print(perf_counter() - start)
"""
_RUNBUS = _TIMED.format(work="import runbus")
_PARTS = _TIMED.format(
    work="""
import redis.asyncio, pydantic
class Model(pydantic.BaseModel):
    text: str
"""
)


def importing(bench: Bench) -> Iterator[Row]:
    """`import runbus`, beside the imports that it stands on."""
    with tempfile.TemporaryDirectory(prefix="runbus-speed-") as compiled:
        _milliseconds(_RUNBUS, compiled)
        _milliseconds(_PARTS, compiled)
        pairs = [
            (_milliseconds(_RUNBUS, compiled), _milliseconds(_PARTS, compiled))
            for _ in bench.rounds(15)
        ]
    yield compared(
        "import runbus",
        pairs,
        unit="ms",
        versus="redis.asyncio, pydantic, a model",
        goal=Goal("<=", 1.3),
    )


def _milliseconds(code: str, compiled: str) -> float:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    return float(done.stdout) * 1e3
