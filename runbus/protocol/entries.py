"""The entries of an input stream: their fields, to and from the wire."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbus.errors import InvalidArgument
from runbus.protocol.fields import read_time

if TYPE_CHECKING:
    from datetime import datetime

LONGEST_TEXT = 1024
_UUID4 = "-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
# The two highest bits of this digit say which kind of UUID it is.
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
Fields = list[bytes]
"""Field, value, field, value, …: as they stand on the wire."""


@dataclass(slots=True)
class Entry:
    """One input as it was stored. Not frozen: a backlog makes hundreds of thousands."""

    id: str
    """The entry id that the server gave it: `<milliseconds>-<number>`."""
    key: str
    """The input's key; of an entry that was added by hand without one, its entry id."""
    sender: str | None
    """The run id of the sender, or the text that the sender passed. None: nobody to respond to."""
    value: bytes | None
    """The JSON of the value, in UTF-8. None: the entry has no value."""


def read_entry(entry_id: bytes, fields: Fields) -> Entry:
    """Read an entry, whoever wrote it. Text that is not UTF-8 is kept with replacements."""
    try:
        first, key, second, sender, third, value = fields
        is_ours = first == b"key" and second == b"sender" and third == b"value"
        if is_ours and key and sender:  # by far the most common
            return Entry(entry_id.decode(), key.decode(), sender.decode(), value)
    except ValueError:  # other fields, or a text that is not UTF-8
        pass
    return _read_foreign(entry_id.decode(), dict(zip(fields[::2], fields[1::2], strict=True)))


def _read_foreign(entry_id: str, fields: dict[bytes, bytes]) -> Entry:
    key, sender = fields.get(b"key"), fields.get(b"sender")
    return Entry(
        entry_id,
        _text(key) if key else entry_id,
        _text(sender) if sender else None,
        fields.get(b"value"),
    )


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def time_of(entry_id: bytes) -> datetime:
    """Return when the server stored an entry."""
    return read_time(entry_id.partition(b"-")[0])


def numbers_of(entry_id: str | bytes) -> tuple[int, int]:
    """Return an entry's id as numbers, which are in the order of the stream."""
    text = entry_id if isinstance(entry_id, str) else entry_id.decode()
    milliseconds, _, number = text.partition("-")
    return int(milliseconds), int(number or 0)


def fields_by_name(fields: Fields) -> dict[str, str]:
    """Return an entry's fields as text, by their names."""
    return {
        _text(name): _text(value) for name, value in zip(fields[::2], fields[1::2], strict=True)
    }


def new_key(name: str, digits: str) -> str:
    """Return `<name>-<uuid>`, the key of an input that its sender gives none; of 32 hex digits.

    The text is that of a version-4 UUID, made without `uuid.uuid4`, which takes several times as
    long.
    """
    return (
        f"{name}-{digits[:8]}-{digits[8:12]}-4{digits[13:16]}"
        f"-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"
    )


def is_made_up(name: str, key: str) -> bool:
    """Whether a key could have been made by `new_key`."""
    return re.fullmatch(re.escape(name) + _UUID4, key) is not None


def check_place(place: str | None) -> str | None:
    """Return the id of an entry, to read on after it. Raises `InvalidArgument`."""
    if place is not None and not re.fullmatch(r"[0-9]{1,20}(-[0-9]{1,20})?", place):
        raise InvalidArgument("after", place, "pass the id of an entry: <milliseconds>-<number>")
    return place


def storable(text: str) -> str:
    """Return a text with its lone surrogates, which cannot be stored, as they are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def check_text(argument: str, text: object) -> str:
    """Return a `key` or `sender` that can be stored. Raises `InvalidArgument`."""
    if not isinstance(text, str):
        raise InvalidArgument(argument, text, f"it is a {type(text).__name__}, not a str")
    if not text:
        raise InvalidArgument(argument, text, "it is empty")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidArgument(argument, text, "it has lone surrogates") from None
    if size > LONGEST_TEXT:
        raise InvalidArgument(argument, text, f"it is longer than {LONGEST_TEXT} bytes of UTF-8")
    return text
