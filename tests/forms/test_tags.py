"""Tags: by which one of several kinds is told, and what is said where it is wrong or missing."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from fuzz.test_typed_lines import typing
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError
from test_types_at_doors import WAYS, form_of, id_of, model_of

from runbus import RunInput
from runbus.cli import form_prompts
from runbus.forms.answers import validate_answer
from runbus.forms.parts import Union
from runbus.forms.schema import SchemaReader
from runbus.forms.tags import tags_of
from runbus.web.form_page import take


class Card(BaseModel):
    kind: Literal["card"] = "card"
    n: str


class Iban(BaseModel):
    kind: Literal["iban", "bic"] = "iban"
    iban: str


class Cash(BaseModel):
    kind: Literal["cash"] = "cash"


class Cat(BaseModel):
    kind: Literal["cat"] = Field("cat", alias="is-a")


class Dog(BaseModel):
    kind: Literal["dog"] = Field("dog", alias="is-a")


class Big(BaseModel):
    n: int
    more: int = 1


class Small(BaseModel):
    n: int


def size_of(value: Any) -> str:
    return "big" if "more" in value else "small"


PAY = Annotated[Card | Iban, Field(discriminator="kind")]
PETS = Annotated[Cat | Dog, Field(discriminator="kind")]
NESTED = Annotated[PAY | Cash, Field(discriminator="kind")]
BY_FUNCTION = Annotated[
    Annotated[Big, Tag("big")] | Annotated[Small, Tag("small")], Discriminator(size_of)
]
UNTAGGED = '{"n": "1"}'
MISSING = "it is required, one of card, iban, bic"
WRONG = 'it must be one of card, iban, bic, and is "cash"'

# The type; an answer; the place and what is said of it.
REFUSED: list[tuple[Any, str, str, str]] = [
    (PAY, UNTAGGED, "x.kind", MISSING),
    (PAY, "{}", "x.kind", MISSING),
    (PAY | None, UNTAGGED, "x.kind", MISSING),
    (PAY | int, UNTAGGED, "x.kind", MISSING),
    (list[PAY], f'[{{"kind": "card", "n": "1"}}, {UNTAGGED}]', "x.2.kind", MISSING),
    (dict[str, PAY], f'{{"a": {UNTAGGED}}}', "x.a.kind", MISSING),
    (tuple[PAY, int], f"[{UNTAGGED}, 1]", "x.1.kind", MISSING),
    (NESTED, UNTAGGED, "x.kind", f"{MISSING}, cash"),
    (PETS, "{}", "x.is-a", "it is required, one of cat, dog"),
    (PAY, '{"kind": "cash"}', "x.kind", WRONG),
    (PAY | None, '{"kind": "cash"}', "x.kind", WRONG),
    (list[PAY], '[{"kind": "cash"}]', "x.1.kind", WRONG),
    (Card | Iban, '{"kind": "cash"}', "x.kind", WRONG),
    (Card | Iban | int | None, '{"kind": "cash"}', "x.kind", WRONG),
    (Card | None, '{"kind": "cash"}', "x.kind", 'it must be card, and is "cash"'),
    (PAY, '{"kind": "bic"}', "x.iban", "it is required"),
    (Card | Iban, '{"kind": "bic"}', "x.iban", "it is required"),
    (PAY, "5", "x", "it must be fields, and is 5"),
    (Card | None, "5", "x", "it must be fields or null, and is 5"),
    (int | None, "{}", "x", "it must be a whole number or null"),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("annotation", "value", "place", "words"), REFUSED, ids=id_of)
def test_a_tag_that_is_missing_or_wrong_is_told_at_its_place(
    annotation: Any, value: str, place: str, words: str, way: str
) -> None:
    """With all tags that there are, at every door; the flow would not take it either."""
    model = model_of(annotation)
    schema = form_of(model)
    assert validate_answer(schema, f'{{"x": {value}}}'.encode())[1] == {place: words}
    assert words in WAYS[way](schema, "x", value)[1]
    with pytest.raises(ValidationError):
        model.decode(f'{{"x": {value}}}'.encode())


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (PAY, '{"kind": "card", "n": "1"}'),
        (PAY, '{"kind": "bic", "iban": "1"}'),
        (PAY | None, "null"),
        (Card | Iban, UNTAGGED),
        (NESTED, '{"kind": "cash"}'),
        (BY_FUNCTION, '{"n": 1}'),
        (BY_FUNCTION, '{"n": 1, "more": 2}'),
    ],
    ids=id_of,
)
def test_what_the_flow_takes_is_taken(annotation: Any, value: str) -> None:
    """Where a function tells the kinds apart too, though a value fits several of them."""
    model = model_of(annotation)
    data, errors = validate_answer(form_of(model), f'{{"x": {value}}}'.encode())
    assert errors == {}
    model.decode(data)


def test_the_tag_of_a_chosen_kind_is_sent() -> None:
    """From the page and from a terminal, though the kind has a default for it."""
    schema = form_of(model_of(PAY))
    expected = {"x": {"kind": "card", "n": "1"}}
    assert take(schema, {"do": ["send"], "/x#kind": ["0"], "/x/n": ["1"]}).answer == expected
    with typing(["Card", "1"]):
        assert form_prompts.ask(schema) == expected
    assert validate_answer(schema, json.dumps(expected).encode())[1] == {}


def test_kinds_that_lead_back_to_themselves_have_no_tag() -> None:
    """A form may come from anybody."""
    schema: dict[str, Any] = {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}
    assert tags_of(schema, schema) is None


class CreditCard(BaseModel):
    kind: Literal["card"] = "card"
    number: str


class BankTransfer(BaseModel):
    model_config = ConfigDict(title="A transfer from a bank")
    kind: Literal["iban"] = "iban"
    iban: str


class CashOnDelivery(BaseModel):
    kind: Literal["cash"] = "cash"


class Payment(RunInput):
    by: CreditCard | BankTransfer | CashOnDelivery


def test_a_kind_is_named_by_its_tag_or_its_title_and_not_by_its_class() -> None:
    """Whether the model names the tag or not."""
    schema = form_of(Payment)
    reader = SchemaReader(schema)
    by = reader.part(schema["properties"]["by"])
    assert isinstance(by, Union)
    assert [branch.label for branch in by.branches] == ["Card", "A transfer from a bank", "Cash"]
