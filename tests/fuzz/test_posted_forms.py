"""Any form, any fields: the page shows it, reads what was posted, and lets nothing in it act."""

from __future__ import annotations

import asyncio
import contextlib
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import Request

from fuzz import hostile
from fuzz.inert import FORM_TAGS, MARKDOWN_TAGS, assert_inert
from runbus.forms.answers import validation_errors
from runbus.forms.parts import UNSET
from runbus.forms.title import first_line, title
from runbus.web import markdown, templating
from runbus.web.form_page import Form, blank_form, refuse, take

if TYPE_CHECKING:
    from runbus.web.form_fields import Posted

some = settings(max_examples=20, deadline=None)
page = templating._environment()
FORM = page.from_string(
    '{% import "_fields.html" as fields %}{{ fields.form(form, "/here", "Send", hidden, "JSON") }}'
)


def shown(form: Form) -> str:
    html = FORM.render(form=form, hidden={"pause": "1"})
    assert_inert(html, FORM_TAGS)
    return html


# --- Forms -----------------------------------------------------------------------------------


class _Names(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found.add(given.get("name") or "")
        if given.get("name") == "do":
            self.found.add(given.get("value") or "")


def posts(names: set[str], data: st.DataObject) -> Posted:
    """Fields that the form has, fields that it has not, and what its buttons say."""
    known = st.sampled_from(sorted(names))
    buttons = st.sampled_from(["send", "json", "again", "", "add ", "remove  0", "add /a", "x x x"])
    pairs = data.draw(st.dictionaries(known | hostile.texts, st.lists(hostile.posted, max_size=3)))
    return {**pairs, "do": [data.draw(buttons | known)]}


@some
@given(hostile.schemas, st.data())
def test_a_posted_form(schema: dict[str, Any], data: st.DataObject) -> None:
    """It is an answer that fits, or the form again with what is wrong; either can be shown."""
    with hostile.bounded():
        html = shown(blank_form(schema))
        posted = posts(_Names(html).found, data)
        taken = take(schema, posted)
        shown(taken.form)
        if taken.answer is not UNSET:
            assert isinstance(taken.answer, dict)
            assert not taken.form.is_anything_wrong
        shown(refuse(taken.form, {"a": "wrong", "": "wrong", "a.0.b": "wrong"}))


@some
@given(hostile.schemas, hostile.json_values)
def test_a_form_with_values(schema: dict[str, Any], value: Any) -> None:
    """Values of any kind fill it as far as they fit."""
    with hostile.bounded():
        shown(blank_form(schema, value))
        assert isinstance(validation_errors(schema, value), dict)


@some
@given(st.binary(max_size=60) | st.dictionaries(hostile.texts, hostile.posted).map(urlencode))
def test_a_posted_body(body: bytes | str) -> None:
    """It is fields, or refused."""
    sent = body if isinstance(body, bytes) else body.encode()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": sent}

    async def read() -> Posted:
        return await templating.read_posted(Request({"type": "http"}, receive))

    with hostile.bounded(), contextlib.suppress(HTTPException):
        posted = asyncio.run(read())
        shown(take({"type": "object", "additionalProperties": {}}, posted).form)


# --- Texts -----------------------------------------------------------------------------------


@some
@given(hostile.texts | st.lists(hostile.texts).map("".join))
def test_markdown_is_inert(text: str) -> None:
    """It has what the sanitiser lets through, and no more."""
    with hostile.bounded():
        assert_inert(markdown.to_html(text), MARKDOWN_TAGS)
        assert "\n" not in first_line(text)


VALUES = page.from_string('{% import "_parts.html" as parts %}{{ parts.values(value) }}')


@some
@given(hostile.json_bytes | hostile.json_values)
def test_values_are_inert(value: Any) -> None:
    """Stored values, whoever stored them, are shown as texts."""
    with hostile.bounded():
        assert_inert(VALUES.render(value=value), {"p", "dl", "div", "dt", "dd", "pre"})
        templating.pretty(value).encode()


@some
@given(hostile.schemas, hostile.texts)
def test_questions_are_one_line(schema: dict[str, Any], description: str) -> None:
    """In the list of what waits, one strange question does not spoil the others'."""
    with hostile.bounded():
        assert "\n" not in title(schema, description)
        title(schema, description).encode()
