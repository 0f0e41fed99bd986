"""How long to wait before the next attempt: longer each time, and never two callers in step."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def backoff(first: float = 0.02, longest: float = 1.0) -> Iterator[float]:
    """Yield delays in seconds: none at first, then full jitter under a doubling bound.

    Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    yield 0.0
    bound = first
    while True:
        yield random.uniform(bound / 2, bound)  # noqa: S311
        bound = min(bound * 2, longest)
