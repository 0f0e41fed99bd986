"""Patterns: which ones a visitor's browser may be given, whose engine goes back and tries again.

A pattern is taken apart far enough to bound in how many ways it can fail on a text: a quantifier of
no end can stop at any character, `?` has two ways, `a|b` has two, and what repeats something that
has a quantifier or several ways is refused. What is beyond the bound, or not understood, is judged
by the server alone, where no pattern runs away.
"""

from __future__ import annotations

import re

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
