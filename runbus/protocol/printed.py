r"""Printed texts: what a terminal, a log or a page shows of texts that somebody else wrote.

The names, log lines, questions and errors of runs come from programs and from strangers. A
terminal obeys control characters, and a reader is deceived by what turns the direction of text
around and by line ends that make one line look like two. So each is written as an escape that can
be read, such as `\x1b`; in pipes too, since a pipe often ends on a terminal.
"""

from __future__ import annotations

import re

# DEL and C1; what turns the direction of text around or separates lines; lone surrogates, which
# nothing can show.
_BEYOND_ASCII = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
# C0 too. Not the line feed, which only `one_line` takes out.
_STEERING = re.compile(f"[\x00-\x09\x0b-\x1f{_BEYOND_ASCII}]")
# JSON escapes C0 by itself.
_STEERING_IN_JSON = re.compile(f"[{_BEYOND_ASCII}]")
_SPELLED = {"\t": "    ", "\r": "\\r"}


def readable(text: str) -> str:
    """Return a text without anything that a terminal would obey. Its lines stay."""
    return _STEERING.sub(_spell, text)


def one_line(text: str) -> str:
    """Return a text as one line that a terminal only shows."""
    return _STEERING.sub(_spell, text.replace("\t", " ").replace("\n", "\\n"))


def readable_json(text: str) -> str:
    """Return a JSON document that means the same and has nothing that a terminal would obey."""
    return _STEERING_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _spell(found: re.Match[str]) -> str:
    character = found[0]
    return _SPELLED.get(character) or character.encode("unicode_escape").decode()
