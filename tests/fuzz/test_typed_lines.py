"""Any form, any lines: asking on a terminal ends with an answer, with EOF, or a clear error."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from datetime import UTC, datetime
from getpass import GetPassWarning
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fuzz import hostile
from runbus.cli import asking, show
from runbus.cli.answered import without_secrets
from runbus.cli.exits import Failed, WrongCall
from runbus.cli.given import json_or_text, named_values
from runbus.cli.question import title
from runbus.cli.run_page import show_question
from runbus.protocol.answers import problems_of
from runbus.protocol.records import Pause

if TYPE_CHECKING:
    from collections.abc import Generator

some = settings(max_examples=40, deadline=None)


class Terminal(io.StringIO):
    """What is taken for a terminal."""

    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def typing(lines: list[str]) -> Generator[Terminal]:
    """Type these lines, then Ctrl-D; what is shown meanwhile, without colours."""
    shown = Terminal()
    with (
        patch.object(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines))),
        patch.dict(os.environ, TERM="dumb"),
        contextlib.redirect_stdout(shown),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", GetPassWarning)  # what is typed unseen, is seen here
        yield shown


def pause_with(schema: dict[str, Any], description: str) -> Pause:
    now = datetime.now(UTC)
    return Pause(
        key="1",
        state="pending",
        generation=1,
        schema=schema,
        description=description,
        opened=now,
        deadline=now,
        answered=None,
        by=None,
        value=None,
    )


@some
@given(
    hostile.schemas, st.lists(hostile.lines, max_size=8), st.sets(st.sampled_from(["a", "value"]))
)
def test_asking_ends(schema: dict[str, Any], lines: list[str], only: set[str]) -> None:
    """And nothing of the form steers the terminal."""
    with hostile.bounded(), typing(lines) as shown:
        try:
            answer = asking.ask(schema)
            again = asking.ask(schema, answer, only)
        except (EOFError, Failed):
            pass
        else:
            assert isinstance(again, dict)
            assert isinstance(problems_of(schema, again), dict)
    hostile.assert_harmless(shown.getvalue())


@some
@given(hostile.schemas, hostile.texts, hostile.json_values)
def test_a_question_is_told(schema: dict[str, Any], description: str, answer: Any) -> None:
    """Whatever it is, it spoils neither the list that it stands in nor the page of its run."""
    pause = pause_with(schema, description)
    with hostile.bounded(), typing([]) as shown:
        show_question(pause)
        show.table([pause], [show.Column(title="QUESTION", plain=title)])
        without_secrets(pause, answer)
    hostile.assert_harmless(shown.getvalue())


@some
@given(hostile.texts | st.lists(hostile.texts).map("".join))
def test_markdown_steers_no_terminal(text: str) -> None:
    """However it spells a character."""
    with hostile.bounded(), typing([]) as shown:
        show.markdown(text)
    hostile.assert_harmless(shown.getvalue())


@example({"properties": {"a": {"type": "string"}}}, ["a=\udc80"])
@some
@given(hostile.schemas, st.lists(hostile.lines | hostile.lines.map("a={}".format), max_size=3))
def test_words_of_parameters(schema: dict[str, Any], words: list[str]) -> None:
    """Words are values that can be checked, or are wrong words."""
    with hostile.bounded(), contextlib.suppress(WrongCall):
        found = {name: json_or_text(value) for name, value in named_values("-p", words).items()}
        assert isinstance(problems_of(schema, found), dict)
