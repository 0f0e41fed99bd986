"""Problems: what is wrong with an answer, each with its place in it.

A pause whose answer was refused keeps them, as JSON: a list of `{"loc": […], "message": "…"}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pydantic_core import to_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runbus.protocol.json_value import JSONValue


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong in one place of an answer."""

    loc: tuple[str | int, ...]
    """The keys and indexes that lead to it; empty for the answer as a whole."""
    message: str
    """A sentence for a person."""

    @property
    def place(self) -> str:
        """Where it is, as people write it: `guests.1.name`, of which they count from 1."""
        return ".".join(str(step + 1) if isinstance(step, int) else step for step in self.loc)


def by_place(problems: Iterable[Problem]) -> dict[str, str]:
    """Return what is wrong by its place, "" for the whole; where much is, it is one text."""
    found: dict[str, list[str]] = {}
    for each in problems:
        found.setdefault(each.place, []).append(each.message)
    return {place: "; ".join(dict.fromkeys(words)) for place, words in found.items()}


def write_problems(problems: Iterable[Problem]) -> bytes:
    """Return the JSON that a pause keeps."""
    return to_json([{"loc": each.loc, "message": each.message} for each in problems])


def read_problems(found: list[JSONValue]) -> tuple[Problem, ...]:
    """Return what a pause has kept; what is of another form is left out."""
    return tuple(filter(None, map(_read, found)))


def _read(found: JSONValue) -> Problem | None:
    about = cast("dict[str, object]", found) if isinstance(found, dict) else {}
    loc, message = about.get("loc"), about.get("message")
    if not isinstance(loc, list) or not isinstance(message, str):
        return None
    steps = cast("list[str | int]", loc)
    are_steps = all(type(step) in {str, int} for step in steps)
    return Problem(loc=tuple(steps), message=message) if are_steps else None
