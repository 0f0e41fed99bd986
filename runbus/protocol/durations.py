"""A length of time in words, alike on the page and on the command line."""

from __future__ import annotations

_UNITS = (("d", 86_400), ("h", 3600), ("min", 60))
_LEAST = 2


def span(seconds: float) -> str:
    """Return a length of time in its largest unit that has two or more: `90 s`, `3 min`, `25 h`."""
    for unit, size in _UNITS:
        if seconds >= _LEAST * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
