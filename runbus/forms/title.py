"""The title of a question: what it asks, in a few words, wherever it is listed, logged or shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runbus.forms.references import fields_of, resolve, target_of
from runbus.forms.schema import SchemaReader, is_one_value, names_of
from runbus.forms.wording import humanise, in_words, noun_of, with_article
from runbus.protocol.printed import one_line

if TYPE_CHECKING:
    from runbus.forms.parts import Part, Schema
    from runbus.protocol.records import Pause

LONGEST_TITLE = 80
NO_QUESTION = "a go-ahead: it is suspended"
_MOST_LINES = 200
_LONGEST_LINE = 1000
# However far it is indented, and in a list or a quotation: whoever writes a text in a program
# indents it with the program.
_FENCE = re.compile(r"(?:\s*(?:>|[-+*]\s|\d{1,9}[.)]\s))*\s*(`{3,}|~{3,})(.*)")
_BEGIN = re.compile(r"^(\s{0,3}(#{1,6}|>|[-+*]|\d{1,9}[.)])\s+)+")
_HEADING_END = re.compile(r"\s+#+\s*$")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")
_EMPHASIS = re.compile(
    r"`+|[*~]{1,3}(?=\S)|(?<=\S)[*~]{1,3}|(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)"
)
_RULE = "-=*_~ "


def title_of(pause: Pause | None) -> str:
    """Return in one line what a run waits for; None for one that was suspended from outside."""
    return NO_QUESTION if pause is None else title(pause.schema, pause.description or "")


def title(schema: Schema | None, description: str = "") -> str:
    """Return how a form's description begins, or what its schema asks for."""
    return first_line(description) or one_line(_cut(_wanted(schema)))


def first_line(markdown: str) -> str:
    """Return the first line of a Markdown text with words in it, as plain text; of code, none."""
    fence = ""
    for line in markdown.split("\n", _MOST_LINES)[:_MOST_LINES]:
        short = line[:_LONGEST_LINE]
        if (marks := _fence(short, fence)) is not None:
            fence = "" if fence else marks
        elif not fence and (words := _plain(short)).strip(_RULE):
            return one_line(_cut(words))
    return ""


def _fence(line: str, opened: str) -> str | None:
    """Return the marks of a line that begins code, or ends what was begun with `opened`."""
    found = _FENCE.match(line)
    if found is None:
        return None
    marks, info = found.groups()
    if opened:
        closes = marks[0] == opened[0] and len(marks) >= len(opened) and not info.strip()
        return marks if closes else None
    return None if marks[0] == "`" and "`" in info else marks


def _plain(line: str) -> str:
    words = _HEADING_END.sub("", _BEGIN.sub("", line.strip(), count=1))
    return _EMPHASIS.sub("", _LINK.sub(r"\1", words)).strip()


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TITLE else text[: LONGEST_TITLE - 1] + "…"


def _wanted(schema: Schema | None) -> str:
    if not schema:
        return "a go-ahead"
    if is_one_value(schema):
        return with_article(noun_of(_value_of(schema)))
    named = schema.get("title") or (target_of(schema, schema) or {}).get("title")
    if isinstance(named, str) and named:
        return humanise(in_words(named))
    return ", ".join(names_of(schema)) or "an answer"


def _value_of(schema: Schema) -> Part:
    fields = fields_of(resolve(schema, schema).get("properties"))
    return SchemaReader(schema).part(fields["value"])
