"""Titles: a question in a few words, the same in the log, on the command line and on the page."""

from __future__ import annotations

import asyncio
import json
import time
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import uuid4

import pytest

from runbus import RunInput
from runbus.forms.title import LONGEST_TITLE, first_line, title, title_of
from runbus.input.question import question_about


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class OrderDetails(RunInput):
    count: int


DESCRIPTIONS = {
    "Shall **The news** go out? See [the draft](https://example.org/).": (
        "Shall The news go out? See the draft."
    ),
    "\n\n## Who *comes*? ##\n\nTell us.": "Who comes?",
    "> 1. quoted and numbered": "quoted and numbered",
    "a_name_with_lines is not _stressed_ as __this__ is": (
        "a_name_with_lines is not stressed as this is"
    ),
    "2 * 3 is `six`": "2 * 3 is six",
    "---\n\nafter a rule": "after a rule",
    '```json\n{"a": 1}\n```\nWhat the code means': "What the code means",
    '~~~json\n{"a": 1}\n```\n~~~\nWhat the code means': "What the code means",
    "````md\n```json\n1\n```\n````\nWhat the code means": "What the code means",
    '    ```json\n    {"a": 1}\n    ```\n    An indented text': "An indented text",
    '- ```json\n  {"a": 1}\n  ```\n\nAfter a list': "After a list",
    '> ```json\n> {"a": 1}\n> ```\n> A quotation': "A quotation",
    "\t```\n\tcode\n\t```": "",
    "\n    ## Indented ##\n    text": "Indented",
    "```json": "",
    "```json {}``` is empty": "json {} is empty",
    "![a picture](x.png)": "a picture",
    "\x1b[31mred": r"\x1b[31mred",
    "x" * 300: "x" * (LONGEST_TITLE - 1) + "…",
    "***\n": "",
    "": "",
}


@pytest.mark.parametrize(("description", "begin"), DESCRIPTIONS.items())
def test_a_description_titles_by_its_first_words(description: str, begin: str) -> None:
    """As plain text, without the marks of Markdown, and without code."""
    assert first_line(description) == begin


WANTED: list[tuple[Any, str]] = [
    (None, "a go-ahead"),
    (str, "a text"),
    (int, "a whole number"),
    (int | None, "a whole number"),
    (bool, "yes or no"),
    (list[int], "a list of whole numbers"),
    (dict[str, int], "fields"),
    (Decimal, "a number"),
    (int | str, "a whole number or text"),
    (Colour, "one of red, blue"),
    (Literal["a", "b"] | None, "one of a, b"),
    (OrderDetails, "Order Details"),
]


@pytest.mark.parametrize(("asked_for", "words"), WANTED, ids=str)
def test_a_form_without_a_description(asked_for: Any, words: str) -> None:
    """It is titled by what it asks for: one value by its kind, a model by its name."""
    stored = asyncio.run(question_about(asked_for).form("1", uuid4()))
    assert title(json.loads(stored.schema) if stored.schema else None) == words


def test_a_form_by_hand() -> None:
    """It may have no name, or no fields; a run that was suspended from outside asks nothing."""
    assert title({"properties": {"a": {}, "b": 5}}) == "a, b"
    assert title({"type": "object"}) == "an answer"
    assert title_of(None) == "a go-ahead: it is suspended"


@pytest.mark.parametrize(
    "text", ["[" * 20_000, "![](" * 5000, "*_" * 10_000, "> " * 10_000 + "\n" * 20_000]
)
def test_a_title_costs_little(text: str) -> None:
    """Whatever the description: a list has fifty of them."""
    begun = time.process_time()
    first_line(text)
    assert time.process_time() - begun < 0.1
