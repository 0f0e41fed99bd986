"""Times and durations, as people say them."""

from __future__ import annotations

from datetime import UTC, datetime

from runbus.protocol.durations import span


def relative(time: datetime | None) -> str:
    """Return how long ago a time was, or what is left: `3 min ago`, `12 min left`."""
    if time is None:
        return ""
    left = (time - datetime.now(UTC)).total_seconds()
    if left > 0:
        return f"{span(left)} left"
    return "just now" if left > -1 else f"{span(-left)} ago"


def local(time: datetime) -> str:
    """Return a time by this machine's clock and zone."""
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S}"


def clock(time: datetime) -> str:
    """Return the time of the day, with the date where it is another day than today."""
    local_time = time.astimezone()
    is_today = local_time.date() == datetime.now().astimezone().date()
    return f"{local_time:%H:%M:%S}" if is_today else f"{local_time:%m-%d %H:%M:%S}"


def both(time: datetime | None) -> str:
    """Return a time both ways, for a person; empty without one."""
    return "" if time is None else f"{local(time)} ({relative(time)})"


def exact(time: datetime | None) -> str:
    """Return a time for programs: ISO 8601 in UTC; empty without one."""
    return "" if time is None else time.astimezone(UTC).isoformat(timespec="milliseconds")
