"""Entropy: random digits for keys, drawn from the system many at a time.

To ask the system for 16 bytes takes longer than all else that is done for a key.
"""

from __future__ import annotations

import os

DIGITS = 32
_DRAWN_AT_ONCE = 128

_drawn: list[str] = []
# A child must not use what its parent will use too.
os.register_at_fork(after_in_child=_drawn.clear)


def random_digits() -> str:
    """Return 32 hex digits that nobody can tell beforehand. Any thread may call it."""
    while True:
        try:
            return _drawn.pop()
        except IndexError:
            digits = os.urandom(_DRAWN_AT_ONCE * DIGITS // 2).hex()
            _drawn.extend(digits[at : at + DIGITS] for at in range(0, len(digits), DIGITS))
