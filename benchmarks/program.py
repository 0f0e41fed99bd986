"""What the programs have in common: a server to measure, and an end in order."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from benchmarks.bench import Bench
from benchmarks.server import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def benched(url: str | None, *, quick: bool = False, **prefix: Any) -> Iterator[Bench]:
    """Give a bench on the server at a URL, or on one of its own; its keys are removed at the end.

    SIGTERM ends the program too, with the exit status 143, and Ctrl-C with 130.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` is reached
    try:
        with nullcontext(url) if url else running_server() as found:
            bench = Bench(url=found, quick=quick, owns_server=not url, **prefix)
            try:
                yield bench
            finally:
                bench.clean()
    except KeyboardInterrupt:
        sys.exit(130)
