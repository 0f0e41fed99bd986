"""What the fuzzing has found, each once: what is found at random is not found every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from fuzz import hostile
from fuzz.asgi import OURS, ask
from fuzz.called import call
from fuzz.test_typed_lines import pause_with, typing
from runbus.cli import form_prompts, output
from runbus.cli.deployment import _progress
from runbus.cli.terminal import console
from runbus.forms.answers import validate_answer, validation_errors
from runbus.forms.title import title_of
from runbus.protocol.entries import read_entry
from runbus.protocol.records import read_flow_run
from runbus.web import templating
from runbus.web.app import Page
from runbus.web.form_page import blank_form, take
from runbus.web.logins import Logins
from runbus.web.options import Options

if TYPE_CHECKING:
    from pathlib import Path

    from servers import Server

RUN_ID = UUID("3fa85f64-5717-4562-b3fc-2c963f66afb7")
CONSTANT = {"type": "object", "properties": {"c": {"const": 1}}}


def form(field: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": field}, "required": ["a"], **more}


ITSELF = form({"$ref": "#/$defs/A"}, **{"$defs": {"A": form({"$ref": "#/$defs/A"})}})
FIELDS = {name: {"$ref": "#/$defs/A"} for name in "abcdefgh"}
MANY = {"type": "object", "properties": FIELDS, "required": list(FIELDS)}
TOO_MANY = form({"$ref": "#/$defs/A"}, **{"$defs": {"A": MANY}})


@pytest.mark.parametrize(
    "text", ["<http://a/%1b%5D0;owned%07>", "<http://a/%E2%80%AE>", "&#x202e;"], ids=ascii
)
def test_markdown_spells_no_control_characters(text: str) -> None:
    """A link is decoded to be read, and an entity is a character."""
    with typing([]) as shown:
        output.markdown(text)
    hostile.assert_harmless(shown.getvalue())


@pytest.mark.parametrize("name", ["[/x]", "[link=http://a]x[/link]"])
def test_a_name_is_no_style(name: str) -> None:
    """What is shown while one waits for a run has its name in it."""
    run = read_flow_run(RUN_ID, {"state_name": b"Paused", "name": name.encode()})
    assert run is not None
    with typing([]) as shown:
        console().print(console().status(_progress(run)).renderable)
    assert name in shown.getvalue()


@pytest.mark.parametrize(
    ("schema", "lines", "answer"),
    [
        (form({"enum": ["x", "y"]}), ["9" * 5000, "2"], {"a": "y"}),
        (form({"type": "array"}), ["[" * 100_000, "[1]"], {"a": [1]}),
        (form({"type": "string"}), ["\udc80", "b"], {"a": "b"}),
        (form({"type": "array", "items": {"$ref": "#/D"}}, D={"type": "integer"}), ["1", ""], [1]),
        ({"$ref": "#/$defs/A", "$defs": {"A": form({"type": "integer"})}}, ["1"], {"a": 1}),
        (form({"allOf": [True]}), ["1"], {"a": 1}),
        ({**form({}), "required": 5}, ["1"], {"a": 1}),
    ],
    ids=range(7),
)
def test_it_is_asked_again_until_it_fits(schema: Any, lines: list[str], answer: Any) -> None:
    """Whatever was typed before, and whatever else is odd in the form."""
    with hostile.bounded(), typing(lines):
        found = form_prompts.ask(schema)
    assert found in (answer, {"a": answer})


@pytest.mark.parametrize(
    ("schema", "error"),
    [
        (ITSELF, EOFError),
        (form({"type": {}}), EOFError),
        (form({"type": "string", "format": []}), EOFError),
        (form({"type": "array", "minItems": 10**9, "items": CONSTANT}), form_prompts.Failed),
        (form({"type": "object", "properties": {}, "minProperties": 1}), form_prompts.Failed),
        (form({"type": "object", "properties": {}, "required": ["a", "a"]}), form_prompts.Failed),
    ],
    ids=["itself", "type", "format", "minItems", "minProperties", "required"],
)
def test_asking_has_an_end(schema: Any, error: type[Exception]) -> None:
    """Where a form has none."""
    with hostile.bounded(), typing([]), pytest.raises(error):
        form_prompts.ask(schema)


def test_a_kind_that_is_no_schema_is_told() -> None:
    """An answer may be of one of several kinds, and one of them cannot be used."""
    inner = {"type": "object", "properties": {"x": {"type": 1}}, "x-names": {"y": "x"}}
    _, problems = validate_answer(form({"anyOf": [inner, CONSTANT]}), b'{"a": {"x": 1}}')
    assert "the form itself cannot be used" in problems[""]


def test_a_kind_that_is_of_the_same_kinds_again_has_an_end() -> None:
    """Each of several kinds may lead back to all of them."""
    again = {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/A"}], "x-names": {"b": "a"}}
    schema = form({"$ref": "#/$defs/A"}, **{"$defs": {"A": again}})
    with hostile.bounded():
        assert validate_answer(schema, b'{"a": {"b": 1}}')


def test_a_refused_answer_to_no_questions_is_not_given_again() -> None:
    """It would be refused again, for ever."""
    with typing([]), pytest.raises(form_prompts.Failed):
        form_prompts.ask({"type": "object", "required": ["a"]}, {}, set())


@pytest.mark.parametrize(
    "odd", [{"properties": 5}, {"properties": {"a": 5}, "required": 5}], ids=str
)
def test_an_odd_form_is_listed(odd: Any) -> None:
    """Beside the others."""
    assert title_of(pause_with(odd, ""))


def test_the_page_makes_no_endless_form() -> None:
    """It asks for JSON instead."""
    with hostile.bounded():
        assert blank_form(TOO_MANY).root is None


def test_the_page_counts_no_items_of_thousands_of_digits() -> None:
    """Nor is a fraction, or more than all numbers, a number of items."""
    schema = form({"type": "array", "minItems": 1e400})
    assert take(schema, {"do": ["add /a"], "/a#item": ["9" * 5000]}).form.root is not None


def test_half_a_character_is_shown() -> None:
    """As it was stored, by hand."""
    templating.pretty(b'"\\ud800"').encode()


@pytest.mark.parametrize("words", ["run ls --flow", f"inputs {RUN_ID}"])
def test_a_word_that_is_not_utf8(address: None, words: str) -> None:
    """It is a wrong word."""
    ended = call(*words.split(), "\udc80")
    assert (ended.code, ended.told.count("\n")) == (2, 1)


@pytest.fixture
def address(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBUS_URL", valkey.url)


def test_what_has_no_end_is_not_read(address: None, tmp_path: Path) -> None:
    """A device, a pipe, a file that somebody fills."""
    sent = call("send", str(RUN_ID), "-", stdin=b"1" * 3_000_000)
    assert (sent.code, sent.told.count("\n")) == (2, 1)
    for words in (["--beside", "/dev/zero"], ["--password-file", str(tmp_path / "\x00")]):
        with hostile.bounded():
            ended = call("acl", *words)
        assert ended.code == 1
        assert "should not happen" not in ended.told


async def test_a_query_of_bytes_is_no_error(valkey: Server) -> None:
    """A server may pass on what is no ASCII."""
    names = frozenset({"localhost"})
    page = Page(Options(logins=Logins({}), allowed_hosts=names, somebody="ada"))
    answer = await ask(page, "/nowhere", query=b"\x80", headers=[OURS])
    assert answer.status == 404


def test_an_entry_with_an_empty_key_goes_by_its_id() -> None:
    """Also where it has the layout that runbus writes."""
    fields = [b"key", b"", b"sender", b"me", b"value", b"1"]
    assert read_entry(b"5-0", fields).key == "5-0"


def test_half_a_character_beside_a_missing_field() -> None:
    """The field that is missing ends the first look, before the half character is met."""
    schema = {"properties": {"a": {"type": "string"}}, "required": ["b"]}
    assert "half a character" in validation_errors(schema, {"a": "\udc80"})[""]
