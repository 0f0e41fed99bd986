"""Times and lengths of time, in few words."""

from __future__ import annotations

from datetime import UTC, datetime

from runbus.protocol.durations import span


def now() -> datetime:
    """Return this machine's time."""
    return datetime.now(UTC)


def ago(moment: datetime | None) -> str:
    """Say how long ago a moment was."""
    if moment is None:
        return ""
    seconds = (now() - moment).total_seconds()
    return "just now" if seconds < 1 else f"{span(seconds)} ago"


def left(moment: datetime | None) -> str:
    """Say how much time is left until a deadline."""
    if moment is None:
        return "no deadline"
    seconds = (moment - now()).total_seconds()
    return f"{span(seconds)} left" if seconds > 0 else "time is over"


def exact(moment: datetime | None) -> str:
    """Write a moment in full, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment else ""
