"""The header of a Lua script: what the script is called with, by name.

    -- Take a scheduled run, for one process.
    --
    -- Parts: moves, epochs
    -- Keys:
    --   run (hash)
    --   lease (string): of the process
    -- Arguments:
    --   run_id (run id)
    --   after (text or ''): the states to move from, '' for all that may
    --   ...fields (name: text, value: bytes): any number of them, at the end
    -- Reply: …

A name stands for its key or argument in the script's body (`script_source`) and in the function
that makes a call of it (`script_calls`). What follows a colon is for people, and may go on in lines
that are indented further. The parts are files whose functions the script needs; a part may say what
it `Uses`: names that every script must have which has the part.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OR_EMPTY = " or ''"
_ITEM = re.compile(r"  (\.\.\.)?(\w+) \((.+?)\)(?::|$)")


@dataclass(frozen=True, kw_only=True)
class Argument:
    """An argument of a script."""

    name: str
    kind: str
    """What it is: `text`, `bytes` of UTF-8, `number`, `ms`, `score`, `flag` or `run id`."""
    may_be_empty: bool
    """Whether '' stands for none."""


@dataclass(frozen=True, kw_only=True)
class Tail:
    """Any number of things at the end of the arguments."""

    name: str
    kinds: tuple[str, ...]
    """What each thing consists of: so many arguments, of these kinds."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a script, or a part of scripts, says of itself."""

    summary: str
    """Its first sentence."""
    parts: tuple[str, ...]
    uses: tuple[str, ...]
    keys: tuple[str, ...]
    arguments: tuple[Argument, ...]
    """Without the tail."""
    tail: Tail | None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the keys and the arguments, in their order, without the tail."""
        return (*self.keys, *(each.name for each in self.arguments))


def read_header(text: str) -> Header:
    """Read the header of a script's text. Raises `ValueError`."""
    lines = list(_comment(text))
    items = list(_items(lines, "Arguments:"))
    tails = [Tail(name=name, kinds=_kinds(kind)) for dots, name, kind in items if dots]
    if tails and not items[-1][0]:
        raise ValueError(f"an argument follows ...{tails[0].name}")
    return Header(
        summary=_summary(lines),
        parts=_list(lines, "Parts: "),
        uses=_list(lines, "Uses: "),
        keys=tuple(name for _, name, _ in _items(lines, "Keys:")),
        arguments=tuple(_argument(name, kind) for dots, name, kind in items if not dots),
        tail=next(iter(tails), None),
    )


def _comment(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if not line.startswith("--"):
            return
        yield line.removeprefix("--").removeprefix(" ")


def _summary(lines: Iterable[str]) -> str:
    text = " ".join(lines).partition("  ")[0]  # an empty line ends the paragraph
    return text.partition(". ")[0].removesuffix(".") + "."


def _list(lines: Iterable[str], title: str) -> tuple[str, ...]:
    found = (line.removeprefix(title) for line in lines if line.startswith(title))
    return tuple(name for line in found for name in line.split(", "))


def _items(lines: list[str], title: str) -> Iterator[tuple[str, str, str]]:
    """Yield of each line of a list: its dots, name and kind."""
    if title not in lines:
        return
    for line in lines[lines.index(title) + 1 :]:
        if not line.startswith("  "):
            return
        if line.startswith("    "):
            continue
        item = _ITEM.match(line)
        if item is None:
            raise ValueError(f"this is no `name (kind)`: {line.strip()}")
        yield item[1] or "", item[2], item[3]


def _argument(name: str, kind: str) -> Argument:
    return Argument(
        name=name, kind=kind.removesuffix(OR_EMPTY), may_be_empty=kind.endswith(OR_EMPTY)
    )


def _kinds(text: str) -> tuple[str, ...]:
    return tuple(each.rpartition(": ")[2] for each in text.split(", "))
