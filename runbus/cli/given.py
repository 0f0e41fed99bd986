"""Values that the words of a command give: in place, in a file, or on standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from runbus.cli.exits import WrongCall


def read_words(option: str, words: str) -> str:
    """Return the text that is meant: `-` is standard input, `@name` a file."""
    if words == "-":
        return sys.stdin.read()
    if not words.startswith("@"):
        return words
    try:
        return Path(words[1:]).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise WrongCall(f"{option} {words}: {error}") from None


def json_or_text(words: str) -> Any:
    """Read a value as JSON where it is JSON, else as the text that it is."""
    try:
        return json.loads(words)
    except ValueError:
        return words


def named_values(option: str, pairs: list[str]) -> dict[str, str]:
    """Split each `key=value`."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise WrongCall(f"{option} {pair!r}: write key=value.")
        found[key] = value
    return found
