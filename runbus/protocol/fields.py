"""The fields of a hash, read whoever wrote them: what cannot be read is as if it were not there."""

from __future__ import annotations

from datetime import UTC, datetime
from sys import intern
from typing import TYPE_CHECKING, TypeVar

from pydantic_core import from_json

if TYPE_CHECKING:
    from collections.abc import Mapping

Fields = dict[str, bytes]
T = TypeVar("T")
_LONGEST_NUMBER = 20
_LATEST = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp() * 1000)


def read_fields(reply: Mapping[bytes, bytes] | list[bytes]) -> Fields:
    """Return a hash's fields by name, from a RESP3 map or a script's flat list."""
    pairs = (
        reply.items() if not isinstance(reply, list) else zip(reply[::2], reply[1::2], strict=True)
    )
    return {name.decode(errors="replace"): value for name, value in pairs}


def text_in(fields: Fields, name: str) -> str | None:
    """Return a field's text; None where it is empty or missing."""
    return fields[name].decode(errors="replace") if fields.get(name) else None


def word_in(fields: Fields, name: str) -> str | None:
    """Return the same of a text that many records have: it is kept once."""
    found = text_in(fields, name)
    return None if found is None else intern(found)


def number_in(fields: Fields, name: str) -> int:
    """Return a field's number, 0 where there is none."""
    return read_number(fields.get(name, b""))


def time_in(fields: Fields, name: str) -> datetime | None:
    """Return the time in a field of milliseconds; None where there is none."""
    value = fields.get(name, b"")
    return _time(int(value)) if _is_number(value) else None


def json_in(fields: Fields, name: str, default: T) -> T:
    """Return what a field holds as JSON, the default where that is of another type."""
    if name not in fields:
        return default
    try:
        found: object = from_json(fields[name])
    except ValueError:
        return default
    return found if type(found) is type(default) else default


def read_number(data: bytes) -> int:
    """Return a number, 0 for what is none."""
    return int(data) if _is_number(data.removeprefix(b"-")) else 0


def read_time(milliseconds: bytes) -> datetime:
    """Return a time since 1970, no later than a `datetime` can be."""
    return _time(max(0, read_number(milliseconds)))


def _is_number(digits: bytes) -> bool:
    # Not any length: the time that `int` takes grows with its square.
    return digits.isdigit() and len(digits) <= _LONGEST_NUMBER


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(min(milliseconds, _LATEST) / 1000, UTC)
