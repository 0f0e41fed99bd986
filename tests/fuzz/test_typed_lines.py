"""Any form, any lines: asking on a terminal ends with an answer, with EOF, or a clear error."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import warnings
from datetime import UTC, datetime
from decimal import Decimal
from getpass import GetPassWarning
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from fuzz import hostile
from runbus.cli import form_prompts, output
from runbus.cli.arguments import json_or_text, named_values
from runbus.cli.exits import Failed, WrongCall
from runbus.cli.run_page import show_question
from runbus.forms.answers import validation_errors
from runbus.forms.secrets import without_secrets
from runbus.forms.title import title_of
from runbus.forms.values import keeps_digits
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
            answer = form_prompts.ask(schema)
            again = form_prompts.ask(schema, answer, only)
        except (EOFError, Failed):
            pass
        else:
            assert isinstance(again, dict)
            assert isinstance(validation_errors(schema, again), dict)
    hostile.assert_harmless(shown.getvalue())


@some
@given(hostile.schemas, hostile.texts, hostile.json_values)
def test_a_question_is_told(schema: dict[str, Any], description: str, answer: Any) -> None:
    """Whatever it is, it spoils neither the list that it stands in nor the page of its run."""
    pause = pause_with(schema, description)
    with hostile.bounded(), typing([]) as shown:
        show_question(pause)
        output.table([pause], [output.Column(title="QUESTION", plain=title_of)])
        without_secrets(schema, answer)
    hostile.assert_harmless(shown.getvalue())


@some
@given(hostile.texts | st.lists(hostile.texts).map("".join))
def test_markdown_steers_no_terminal(text: str) -> None:
    """However it spells a character."""
    with hostile.bounded(), typing([]) as shown:
        output.markdown(text)
    hostile.assert_harmless(shown.getvalue())


@example({"properties": {"a": {"type": "string"}}}, ["a=\udc80"])
@example({}, ["a=1=2", "a==", "b="])
@example({}, ["=1"])
@some
@given(hostile.schemas, st.lists(hostile.lines | hostile.lines.map("a={}".format), max_size=3))
def test_words_of_parameters(schema: dict[str, Any], words: list[str]) -> None:
    """Each is a name, once, and all that follows the first `=`; and can be checked."""
    names = [word.partition("=")[0] if "=" in word else "" for word in words]
    with hostile.bounded():
        if not all(names) or len(set(names)) < len(names):
            with pytest.raises(WrongCall):
                named_values("-p", words)
            return
        found = named_values("-p", words)
        assert {f"{name}={value}" for name, value in found.items()} <= set(words)
        assert list(found) == names
        values = {name: json_or_text("-p", value) for name, value in found.items()}
        assert isinstance(validation_errors(schema, values), dict)


@some
@given(hostile.json_values, hostile.texts)
def test_a_word_is_json_or_text(value: Any, text: str) -> None:
    """What is JSON comes as its value, and what is none as it was typed."""
    word = to_json(value).decode()
    exact = json.loads(
        word, parse_float=lambda text: float(text) if keeps_digits(text) else Decimal(text)
    )
    # NaN equals nothing, and what it is in has floats only.
    assert repr(json_or_text("VALUE", word)) in {repr(exact), repr(json.loads(word))}
    assert json_or_text("VALUE", f"{text} is no JSON") == f"{text} is no JSON"
