"""Answers that were given: by whom, when, with what, and without what was typed unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.cli import output, times
from runbus.forms.secrets import without_secrets
from runbus.protocol.values import read_json

if TYPE_CHECKING:
    from runbus.protocol.records import Pause


def in_words(pause: Pause) -> str:
    """Say who answered a pause, when and with what."""
    words = f"{pause.by or 'somebody'} answered"
    if pause.answered is not None:
        words += f" at {times.clock(pause.answered)} ({times.relative(pause.answered)})"
    given = without_secrets(pause.schema, read_json(pause.value))
    return f"{words}: {output.value(given, 200)}" if given else words
