"""Row about `import runbus`: ms in a fresh process, without the start of the interpreter.

The other side imports `redis.asyncio` and `pydantic`, and defines one model.
"""

from __future__ import annotations

import subprocess
import sys
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
    _milliseconds(_RUNBUS)
    _milliseconds(_PARTS)
    pairs = [(_milliseconds(_RUNBUS), _milliseconds(_PARTS)) for _ in bench.rounds(15)]
    yield compared(
        "import runbus",
        pairs,
        unit="ms",
        versus="redis.asyncio, pydantic, a model",
        goal=Goal("<=", 1.3),
    )


def _milliseconds(code: str) -> float:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout) * 1e3
