"""One form, three doors: what is typed on the page and on a terminal, and what the API is sent."""

from __future__ import annotations

import asyncio
import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Literal
from uuid import UUID, uuid4

import pytest
from fuzz.test_typed_lines import typing
from pydantic import BaseModel, Field

from runbus import RunInput
from runbus.cli import form_prompts
from runbus.forms.answers import validate_answer
from runbus.forms.parts import UNSET
from runbus.forms.schema import SchemaReader
from runbus.input.question import question_about
from runbus.web.form_page import blank_form, take

REFUSED: Final = object()
BEYOND: Final = object()
"""What a schema cannot say: the API is checked by the schema alone."""


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


def form_of(annotation: Any, **options: Any) -> dict[str, Any]:
    """The form with the single field `x`."""
    given = Field(**options)
    model: Any = type("M", (RunInput,), {"__annotations__": {"x": annotation}, "x": given})
    return json.loads(asyncio.run(question_about(model).form("1", uuid4())).schema)


def by_hand(field: Any, **around: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": field}, "required": ["x"], **around}


def on_the_page(schema: dict[str, Any], text: str) -> Any:
    taken = take(schema, {"do": ["send"], "/x": [text]})
    return REFUSED if taken.answer is UNSET else taken.answer["x"]


def on_a_terminal(schema: dict[str, Any], text: str) -> Any:
    """What the line gives; after a refusal there are no more lines."""
    with typing([text]):
        try:
            return form_prompts.ask(schema)["x"]
        except EOFError:
            return REFUSED


def by_the_api(schema: dict[str, Any], value: str) -> Any:
    answer, errors = validate_answer(schema, f'{{"x": {value}}}'.encode())
    return REFUSED if errors else json.loads(answer)["x"]


LONG = "12345678901234567890.123456789"
BIG = 2**80 + 1
NESTED = by_hand({"$ref": "#/definitions/a~1b"}, definitions={"a/b": {"type": "integer"}})
WITH_REST = by_hand({"type": "array", "prefixItems": [{}], "items": {"type": "integer"}})

# The form; what is typed; the JSON that the API is sent for it; what comes out at each door.
TABLE: dict[str, tuple[dict[str, Any], str, str, Any]] = {
    "whole number": (form_of(int), "42", "42", 42),
    "big whole number": (form_of(int), str(BIG), str(BIG), BIG),
    "whole number with a point": (form_of(int), "3.0", "3.0", 3),
    "whole number with an exponent": (form_of(int), "1e3", "1e3", 1000),
    "fraction for a whole number": (form_of(int), "3.7", "3.7", REFUSED),
    "underscores in a number": (form_of(int), "1_000", '"1_000"', REFUSED),
    "digits of another script": (form_of(int), "٣", '"٣"', REFUSED),
    "number": (form_of(float), "1.5", "1.5", 1.5),
    "whole number for a float": (form_of(float), str(BIG), str(BIG), BIG),
    "nan": (form_of(float), "nan", "NaN", REFUSED),
    "infinity": (form_of(float), "inf", "Infinity", REFUSED),
    "more than a float has": (form_of(float), "1e999", '"1e999"', REFUSED),
    "nan for anything": (form_of(Any), "NaN", "NaN", REFUSED),
    "decimal": (form_of(Decimal), "12.5", "12.5", 12.5),
    "decimal of many digits": (form_of(Decimal), LONG, f'"{LONG}"', LONG),
    "optional decimal of many digits": (form_of(Decimal | None), LONG, f'"{LONG}"', LONG),
    "decimal out of bounds": (form_of(Decimal, ge=1), "0.5", "0.5", REFUSED),
    "words for a decimal": (form_of(Decimal), "many", BEYOND, REFUSED),
    "choice by its value": (form_of(Size), "s", '"s"', "s"),
    "choice by its JSON": (form_of(Size), '"l"', '"l"', "l"),
    "choices that differ in case": (form_of(Literal["a", "A"]), "A", '"A"', "A"),
    "no choice": (form_of(Size), "x", '"x"', REFUSED),
    "constant or nothing": (form_of(Literal["a"] | None), "a", '"a"', "a"),
    "null among choices": (form_of(Literal["a", "b", None]), "b", '"b"', "b"),
    "null among choices, left out": (form_of(Literal["a", None]), "", "null", None),
    "yes": (form_of(bool), "yes", "true", True),
    "perhaps": (form_of(bool), "perhaps", '"perhaps"', REFUSED),
    "date": (form_of(date), "2026-11-25", '"2026-11-25"', "2026-11-25"),
    "date that is none": (form_of(date), "2026-02-30", BEYOND, REFUSED),
    "time that is none": (form_of(datetime), "soon", BEYOND, REFUSED),
    "duration": (form_of(timedelta), "PT1H", '"PT1H"', "PT1H"),
    "duration that is none": (form_of(timedelta), "1 hour", BEYOND, REFUSED),
    "UUID": (form_of(UUID), f" {UUID(int=1)} ", f'"{UUID(int=1)}"', str(UUID(int=1))),
    "UUID that is none": (form_of(UUID), "1", BEYOND, REFUSED),
    "anything": (form_of(Any), '{"a": [1]}', '{"a": [1]}', {"a": [1]}),
    "text for anything": (form_of(Any), '"hello"', '"hello"', "hello"),
    "no JSON for anything": (form_of(Any), '{"a": 1', '{"a": 1', REFUSED),
    "reference by a path": (NESTED, "7", "7", 7),
    "reference by a path, wrong": (NESTED, "seven", '"seven"', REFUSED),
    "form without a type": ({"properties": {"x": {"type": "integer"}}}, "7", "7", 7),
    "places and then others": (WITH_REST, '["a", 1]', '["a", 1]', ["a", 1]),
    "places and wrong others": (WITH_REST, '["a", "b"]', '["a", "b"]', REFUSED),
}


@pytest.mark.parametrize(("schema", "text", "value", "expected"), TABLE.values(), ids=TABLE)
def test_the_same_form_takes_the_same(
    schema: dict[str, Any], text: str, value: Any, expected: Any
) -> None:
    """At the page, on a terminal and by the API, exactly."""
    assert repr(on_the_page(schema, text)) == repr(expected)
    assert repr(on_a_terminal(schema, text)) == repr(expected)
    if value is not BEYOND:
        assert by_the_api(schema, value) == expected


NULL: Final = {"type": "null"}


@pytest.mark.parametrize(
    "field", [NULL, {"enum": [None]}, {"const": None}, {"anyOf": [NULL, {"const": None}]}], ids=str
)
def test_null_alone_is_not_asked_for(field: dict[str, Any]) -> None:
    """There is nothing to type at any door."""
    schema = by_hand(field)
    assert take(schema, {"do": ["send"]}).answer == {"x": None}
    with typing([]):
        assert form_prompts.ask(schema) == {"x": None}
    assert by_the_api(schema, "null") is None


def test_a_default_that_is_no_number_tells_a_union_from_a_decimal() -> None:
    """`float | str` has the schema of a `Decimal`: with such a default, words are taken too."""
    schema = form_of(float | str, default="by the meter")
    [field] = blank_form(schema).fields
    assert (field.kind, field.choice, field.children[0].text) == ("union", "1", "by the meter")
    assert take(schema, {"do": ["send"], "/x#kind": ["1"], "/x": ["short"]}).answer == {
        "x": "short"
    }
    assert on_a_terminal(schema, "short") == "short"
    assert on_a_terminal(schema, "1.5") == 1.5


def test_fields_have_the_same_labels() -> None:
    """On the page and on a terminal: the field's own title, else its name as it is written."""
    schema = {
        "type": "object",
        "properties": {"userID": {"type": "string"}, "max_seats": {"$ref": "#/$defs/Seats"}},
        "$defs": {"Seats": {"title": "Class name", "type": "integer"}},
    }
    labels = ["UserID", "Max seats"]
    assert [each.label for each in blank_form(schema).fields] == labels
    reader = SchemaReader(schema)
    assert [each.title for _, each in reader.fields(reader.form())] == labels  # type: ignore[arg-type]
    with typing(["ada", "3"]) as shown:
        form_prompts.ask(schema)
    assert all(label in shown.getvalue() for label in labels)


class Guest(BaseModel):
    name: str


@pytest.mark.parametrize(
    ("annotation", "default", "options"),
    [
        (list[Guest] | None, None, {"min_length": 1}),
        (list[Guest], None, {}),
        (Guest, None, {}),
        (int, 0, {"ge": 1}),
        (int, "unset", {}),
        (tuple[int, int] | None, "unset", {}),
        (Decimal, Decimal("-0"), {}),
    ],
    ids=str,
)
def test_a_default_is_kept_by_return(annotation: Any, default: Any, options: Any) -> None:
    """On a terminal, whether or not it fits: nobody checks the default of a model."""
    schema = form_of(annotation, default=default, **options)
    with typing([""] * 3):
        answer = form_prompts.ask(schema)
    assert validate_answer(schema, json.dumps(answer).encode())[1] == {}
    assert answer == {"x": schema["properties"]["x"]["default"]}


@pytest.mark.parametrize("annotation", [None, Literal["a"]], ids=str)
def test_what_is_not_asked_for_has_its_default(annotation: Any) -> None:
    """Where one value alone fits, and the model has another one."""
    schema = form_of(annotation, default="b")
    with typing([]):
        assert form_prompts.ask(schema) == {"x": "b"}
    assert take(schema, {"do": ["send"]}).answer == {"x": "b"}


def test_a_negative_zero_keeps_its_sign() -> None:
    """As a `Decimal`, it has one."""
    assert on_the_page(form_of(Decimal), "-0") == on_a_terminal(form_of(Decimal), "-0") == "-0"


def test_null_for_anything_is_shown_as_null() -> None:
    """Where anything is asked for, an empty field is no answer."""
    [field] = blank_form(form_of(Any), {"x": None}).fields
    assert field.text == "null"
