"""Times and lengths of time, in few words."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def now() -> datetime:
    """Return this machine's time."""
    return datetime.now(UTC)


def length(seconds: float) -> str:
    """Say how long something takes: `3 min`, `2 h`, `5 d`."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "0 s"


def ago(moment: datetime | None) -> str:
    """Say how long ago a moment was."""
    if moment is None:
        return ""
    seconds = (now() - moment).total_seconds()
    return "just now" if seconds < 1 else f"{length(seconds)} ago"


def left(moment: datetime | None) -> str:
    """Say how much time is left until a deadline."""
    if moment is None:
        return "no deadline"
    seconds = (moment - now()).total_seconds()
    return f"{length(seconds)} left" if seconds > 0 else "time is over"


def exact(moment: datetime | None) -> str:
    """Write a moment in full, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment else ""
