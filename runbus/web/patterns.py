"""Patterns: which ones a visitor's browser may be given, whose engine goes back and tries again.

It is given what means the same there as in the flow, with the classes of all scripts written out.

A pattern is taken apart far enough to bound in how many ways it can fail on a text: a quantifier of
no end can stop at any character, `?` has two ways, `a|b` has two, and what repeats something that
has a quantifier or several ways is refused. What is beyond the bound, or not understood, is judged
by the server alone, where no pattern runs away.
"""

from __future__ import annotations

import re

from runbus.forms.unicode_patterns import has_inner_classes, in_all_scripts

LONGEST_PATTERN = 200
LONGEST_TEXT = 1000
"""How many characters a browser matches; the page's script has the same number."""
MOST_WAYS = 2_000_000
_TOKEN = re.compile(
    r"(?P<group>\((?:\?:)?)|(?P<end>\))|(?P<other>\|)"
    r"|(?P<atom>\[\^?(?:\\[^0-9kpPux]|[^\]\\\[])+\]|\\[dDwWsSbBtnrfv.*+?^$()\[\]{}|/\\-]"
    r"|[^\\()\[\]{}|*+?])"
)
_QUANTIFIER = re.compile(r"(?:[*+?]|\{(?P<least>\d{1,3})(?P<comma>,(?P<most>\d{0,3}))?\})\??")


_ANY = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\.", re.DOTALL)


def for_browser(pattern: str, engine: str) -> str:
    """Write a pattern for a browser's engine; empty for one that the server decides alone."""
    # What is a word ends elsewhere there; Python's `$` may stand before a line's end.
    means_other = r"\b" in pattern or r"\B" in pattern or (engine == "python-re" and "$" in pattern)
    if means_other or has_inner_classes(pattern) or not cannot_run_away(pattern):
        return ""
    written = in_all_scripts(pattern, engine)
    return _ANY.sub(lambda found: r"[^\n]" if found[0] == "." else found[0], written)


def cannot_run_away(pattern: str) -> bool:
    """Whether a backtracking engine decides it fast, on any text of `LONGEST_TEXT` characters."""
    if len(pattern) > LONGEST_PATTERN:
        return False
    anywhere = 1 if pattern.startswith("^") and "|" not in pattern else LONGEST_TEXT
    try:
        ways, end = _ways(pattern, 0)
    except ValueError:
        return False
    return end == len(pattern) and ways * anywhere <= MOST_WAYS


def _ways(pattern: str, at: int) -> tuple[int, int]:
    """Return in how many ways a part can match, and where it ends. Raises `ValueError`."""
    branches, ways = 0, 1
    while found := _TOKEN.match(pattern, at):
        if found["end"]:
            break
        at = found.end()
        if found["other"]:
            branches, ways = branches + ways, 1
            continue
        inner = 1
        if found["group"]:
            inner, at = _ways(pattern, at)
            if pattern[at : at + 1] != ")":
                raise ValueError("a group has no end")
            at += 1
        if quantifier := _QUANTIFIER.match(pattern, at):
            at = quantifier.end()
            inner = _repeated(quantifier, inner)
        ways *= inner
    return branches + ways, at


def _repeated(quantifier: re.Match[str], inner: int) -> int:
    if quantifier[0].startswith("?"):
        return inner + 1
    if inner > 1:
        raise ValueError("what repeats has several ways")
    if quantifier["least"] is None or (quantifier["comma"] and not quantifier["most"]):
        return LONGEST_TEXT
    most = int(quantifier["most"] or quantifier["least"])
    return max(most - int(quantifier["least"]), 0) + 2  # more than one: it is not to be repeated
