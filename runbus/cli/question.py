"""What a pause asks for, in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.cli import form, output

if TYPE_CHECKING:
    from runbus.protocol.records import Pause

_MARKS = "#>*_` "


def title(pause: Pause | None) -> str:
    """Return how a pause's description begins, or which values it wants."""
    if pause is None:
        return "nothing: it is suspended"
    lines = (line.strip(_MARKS).replace("**", "") for line in (pause.description or "").split("\n"))
    return output.first_line(next(filter(None, lines), "")) or _wanted(pause)


def _wanted(pause: Pause) -> str:
    if not pause.schema:
        return "a go-ahead"
    parts = form.parts(pause.schema, pause.schema)
    if list(parts) == ["value"]:
        return parts["value"].hint() or "a text"
    return ", ".join(parts) or "an answer"
