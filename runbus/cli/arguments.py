"""Values that the words of a command give: in place, in a file, or on standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TextIO

from pydantic_core import from_json

from runbus import settings
from runbus.cli.exits import WrongCall


def read_words(option: str, words: str) -> str:
    """Return the text that is meant: `-` is standard input, `@name` a file."""
    if words == "-":
        return _read(option, words, sys.stdin)
    if not words.startswith("@"):
        return words
    try:
        with Path(words[1:]).open(encoding="utf-8") as file:
            return _read(option, words, file)
    except (OSError, ValueError) as error:
        raise WrongCall(f"{option} {words}: {error}") from None


def _read(option: str, words: str, file: TextIO) -> str:
    # A device, or a pipe, may have no end.
    longest = settings.current().max_input_bytes
    text = file.read(longest + 1)
    if len(text) > longest:
        raise WrongCall(f"{option} {words}: more than RUNBUS_MAX_INPUT_BYTES={longest} allows.")
    return text


def json_or_text(option: str, words: str) -> Any:
    """Read a value as JSON where it is JSON, as `read_exact` does, else as the text that it is."""
    from runbus.forms.exact_json import KeyTwice, read_exact  # late: few commands take values

    try:
        return read_exact(words)
    except KeyTwice as error:
        raise WrongCall(f"{option}: {error}.") from None
    except ValueError:
        pass
    try:  # with NaN in it, say
        return from_json(words.encode())  # half a character is a ValueError
    except ValueError:
        return words


def named_values(option: str, pairs: list[str]) -> dict[str, str]:
    """Split each `key=value`."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise WrongCall(f"{option} {pair!r}: write key=value.")
        if key in found:
            raise WrongCall(f"{option} {pair!r}: {key} is given twice.")
        found[key] = value
    return found
