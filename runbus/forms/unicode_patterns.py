r"""Patterns as pydantic reads them: `\w` is a letter of any script.

JSON Schema has the patterns of JavaScript, where `\w` is one of `A-Za-z0-9_`, and so has the
validator. A flow's patterns are pydantic's, whose engine (`x-regex`, by default one of Rust) knows
all scripts. So the classes are written out for the validator. What cannot be written so, since
JavaScript has no classes within classes, is left to pydantic's own engine.
"""

from __future__ import annotations

import re

_WORD = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}"
_CLASSES = {
    "rust-regex": {"w": _WORD, "d": r"\p{Nd}", "s": r"\p{White_Space}"},
    "python-re": {
        "w": r"\p{L}\p{N}_",
        "d": r"\p{Nd}",
        "s": r"\p{White_Space}\x1c-\x1f",
    },
}
_COMPLEMENTS = {"D": r"\P{Nd}", "S": r"\P{White_Space}", "W": r"\W"}
_STEP = re.compile(r"\\(?P<escaped>.)|(?P<open>\[\^?\]?)|(?P<end>\])", re.DOTALL)
_WITHIN = re.compile(r"(?<!\\)\[(?:[^\]\\]|\\[^W])*(?:\[|&&|\\W)", re.DOTALL)


def has_inner_classes(pattern: str) -> bool:
    r"""Tell whether a pattern has a class within a class, as `[^\W\d]` and `[a-z&&[^x]]` have."""
    return _WITHIN.search(pattern) is not None


def in_all_scripts(pattern: str, engine: str = "rust-regex") -> str:
    r"""Return a pattern in which `\w`, `\d` and `\s` are written out as an engine reads them."""
    classes, is_within = _CLASSES.get(engine, _CLASSES["rust-regex"]), False

    def written_out(found: re.Match[str]) -> str:
        nonlocal is_within
        name = found["escaped"]
        if name is None:
            is_within = not found["end"]
            return found[0]
        if name.lower() not in classes:
            return found[0]
        inner = classes[name.lower()]
        if name.isupper():
            return _COMPLEMENTS[name] if is_within else f"[^{inner}]"
        return inner if is_within else f"[{inner}]"

    return _STEP.sub(written_out, pattern)
