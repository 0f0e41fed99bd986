"""Friendly names: two words for a run that nobody has named."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from runbus.background import bridge

if TYPE_CHECKING:
    from collections.abc import Callable


def friendly_name() -> str:
    """Return two random words."""
    return _generator()(2)


@cache
def _generator() -> Callable[[int], str]:
    return _load() if bridge.on_loop() else bridge.run(_load_in_background)


async def _load_in_background() -> Callable[[int], str]:
    # No signal interrupts that thread. An import that is interrupted may leave Python's import lock
    # held, and then no other thread ever imports again.
    return _load()


def _load() -> Callable[[int], str]:
    from coolname import generate_slug  # late: its word lists take a while to load

    return generate_slug
