"""Formats: whether a text is what its format says, as the types of a flow would read it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from runbus.forms.parts import Text

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from runbus.forms.parts import Part

_WORDS = {
    "date": "it is not a date, such as 2026-11-25",
    "date-time": "it is not a date and time, such as 2026-11-25T19:00",
    "time": "it is not a time of day, such as 19:00",
    "duration": "it is not a duration, such as P1DT2H or PT30S",
    "uuid": "it is not a UUID",
}


def format_error(part: Part, value: object) -> str:
    """Return what is wrong with a text of a format; empty for all else."""
    if not isinstance(part, Text) or part.format not in _WORDS or not isinstance(value, str):
        return ""
    try:
        _adapter(part.format).validate_python(value)
    except ValueError:  # pydantic's `ValidationError` is one
        return _WORDS[part.format]
    return ""


@cache
def _adapter(name: str) -> TypeAdapter[object]:
    # Late: most who check an answer have no texts of a format.
    from datetime import date, datetime, time, timedelta
    from uuid import UUID

    from pydantic import TypeAdapter

    types = {"date": date, "date-time": datetime, "time": time, "duration": timedelta, "uuid": UUID}
    return TypeAdapter(types[name])
