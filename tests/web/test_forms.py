"""Forms from pydantic's schemas: what is asked, what is read from what was typed, what is wrong."""

from __future__ import annotations

import asyncio
import json
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import pytest
from fuzz import browser
from fuzz.test_posted_forms import FORM
from pydantic import BaseModel, Field, SecretStr

from runbus import RunInput
from runbus.forms.parts import UNSET
from runbus.input.question import question_about
from runbus.web.form_page import blank_form, take


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Guest(BaseModel):
    name: str = Field(min_length=2)
    age: int | None = Field(None, ge=0)


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str] = []


class Tree(BaseModel):
    value: int
    branches: list[Tree] = []


def schema_of(annotation):
    """The schema that a pause for a type stores; a bare type is the field `value`."""
    stored = asyncio.run(question_about(annotation).form("1", uuid4()))
    return json.loads(stored.schema)


def field_of(annotation, *, default=UNSET, **options):
    """The only field of a form with one field of this type."""
    return blank_form(schema_with(annotation, default, **options)).fields[0]


def schema_with(annotation, default=UNSET, **options):
    given = Field(**options) if default is UNSET else Field(default, **options)
    model = type("M", (RunInput,), {"__annotations__": {"x": annotation}, "x": given})
    return schema_of(model)


def typed(schema, **texts):
    """What a browser posts, with `_` in a name for `/`."""
    posted = {name: value if isinstance(value, list) else [value] for name, value in texts.items()}
    return take(schema, {"do": ["send"], **posted})


def answer_to(annotation, text, default=UNSET, **options):
    taken = take(schema_with(annotation, default, **options), {"do": ["send"], "/x": [text]})
    assert taken.answer is not UNSET, problems_in(taken.form)
    return taken.answer


def problems_in(form):
    told = {each.dotted: each.problem for each in form.root.walk() if each.problem}
    return {**told, **({"": form.problems} if form.problems else {})}


def problem_with(annotation, text, **options):
    taken = take(schema_with(annotation, **options), {"do": ["send"], "/x": [text]})
    assert taken.answer is UNSET
    found = problems_in(taken.form)
    assert list(found) == ["x"], found
    return found["x"]


KINDS = [
    (str, "text", "hello", "hello"),
    (int, "integer", "42", 42),
    (int, "integer", "12345678901234567890123", 12345678901234567890123),
    (float, "number", "1.5", 1.5),
    (Decimal, "decimal", "1.50", "1.50"),
    (
        Decimal,
        "decimal",
        "0.1000000000000000055511151231257827",
        "0.1000000000000000055511151231257827",
    ),
    (bool, "boolean", "false", False),
    (date, "date", "2026-11-25", "2026-11-25"),
    (datetime, "datetime", "2026-11-25T19:00", "2026-11-25T19:00"),
    (time, "time", "19:00", "19:00"),
    (Literal["a", "b"], "choice", '"b"', "b"),
    (Literal[1, "two"], "choice", "1", 1),
    (Colour, "choice", '"blue"', "blue"),
    (SecretStr, "password", "s", "s"),
    (UUID, "text", "3fa85f64-5717-4562-b3fc-2c963f66afa6", "3fa85f64-5717-4562-b3fc-2c963f66afa6"),
    (Any, "json", '{"a": [1]}', {"a": [1]}),
]


@pytest.mark.parametrize(("annotation", "kind", "text", "answer"), KINDS, ids=str)
def test_a_field_of_each_type_is_asked_for_and_read(annotation, kind, text, answer):
    """Each type has its kind of field, and what is typed becomes the JSON that the flow gets."""
    field = field_of(annotation)
    assert (field.kind, field.label, field.part.required) == (kind, "X", True)
    assert answer_to(annotation, text) == {"x": answer}


@pytest.mark.parametrize(("annotation", "kind", "text", "answer"), KINDS[:-1], ids=str)
def test_an_optional_field_is_the_same_field_and_may_be_blank(annotation, kind, text, answer):
    """`X | None` asks for an X; left blank it is null. There is no switch to find first."""
    field = field_of(annotation | None, default=None)
    assert (field.kind, field.may_be_blank) == (kind, True)
    assert answer_to(annotation | None, text, None) == {"x": answer}
    assert answer_to(annotation | None, "", None) == {"x": None}


def test_texts_of_a_field_survive_a_default():
    """Title, description, examples and limits are shown, also where `with_initial_data` is used."""

    class Booking(RunInput):
        seats: int = Field(ge=1, le=8, title="Seats", description="How many", examples=[2])

    schema = schema_of(Booking.with_initial_data(seats=3, description="Hello"))
    [field] = blank_form(schema).fields
    assert (field.label, field.part.help, field.text) == ("Seats", "How many", "3")
    assert field.part.examples == (2,)
    assert field.part.limits == {"minimum": 1, "maximum": 8}


def test_nothing_is_answered_that_nobody_chose():
    """Of an untouched form, required fields are missing: no 0, no false, no first choice."""

    class Decision(RunInput):
        amount: int
        approved: bool
        size: Literal["s", "m"]

    taken = typed(schema_of(Decision), **{"/amount": "", "/size": ""})
    assert problems_in(taken.form) == dict.fromkeys(
        ["amount", "approved", "size"], "it is required"
    )


@pytest.mark.parametrize(
    ("annotation", "options", "text", "words"),
    [
        (int, {"ge": 1}, "0", "must be at least"),
        (int, {}, "3.7", "not a whole number"),
        (int, {}, "many", "not a whole number"),
        (int | None, {"ge": 1}, "0", "must be at least"),
        (Decimal, {"ge": 1}, "0.5", "must be at least"),
        (Decimal, {}, "many", "not a number"),
        (float, {"multiple_of": 0.5}, "0.7", "multiple"),
        (str, {"min_length": 3}, "ab", "at least 3 characters"),
        (str, {"pattern": "^[A-Z]+$"}, "ab", "must match"),
        (date, {}, "tomorrow", "must be a date"),
        (datetime | None, {}, "soon", "must be a date and time"),
        (time, {}, "25:00", "must be a time"),
        (UUID, {}, "1", "must be a UUID"),
        (Any, {}, "{", "not JSON"),
        (Literal["a", "b"], {}, "c", "is not one of"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_said_beside_its_field(annotation, options, text, words):
    """What is wrong stands at the field, in words about that field, and what was typed stays."""
    assert words in problem_with(annotation, text, **options)
    taken = take(schema_with(annotation, **options), {"do": ["send"], "/x": [text]})
    assert taken.form.root.children[0].text == text


def test_a_date_and_time_has_the_zone_that_was_chosen():
    """The zone is a field of its own; a default's zone is chosen already."""
    schema = schema_with(datetime, datetime.fromisoformat("2026-11-25T19:00:00+02:00"))
    [field] = blank_form(schema).fields
    assert (field.text, field.zone) == ("2026-11-25T19:00:00", "+02:00")
    taken = typed(schema, **{"/x": "2026-11-25T20:00", "/x#zone": "Z"})
    assert taken.answer == {"x": "2026-11-25T20:00Z"}


def test_a_default_that_a_date_field_cannot_show_is_shown_as_text():
    """A browser shows an empty field for a time with microseconds: the default would be lost."""
    [field] = blank_form(schema_with(time, time(10, 0, 0, 123456))).fields
    assert (field.kind, field.text) == ("text", "10:00:00.123456")


def test_a_list_grows_and_shrinks_and_keeps_its_values():
    """An item is added behind, one is taken from the middle, and what was typed stays in place."""
    schema = schema_with(list[Guest])
    posted = {"/x#item": ["", "0", "1"], "/x/0/name": ["Ann"], "/x/1/name": ["Bob"]}
    grown = take(schema, {**posted, "do": ["add /x"]}).form.root.children[0]
    assert [child.children[0].text for child in grown.children] == ["Ann", "Bob", ""]
    shrunk = take(schema, {**posted, "do": ["remove /x 0"]}).form.root.children[0]
    assert [child.children[0].text for child in shrunk.children] == ["Bob"]
    taken = take(schema, {**posted, "/x/1/age": ["-1"], "do": ["send"]})
    assert list(problems_in(taken.form)) == ["x.2.age"]
    taken = take(schema, {**posted, "/x/1/age": ["7"], "do": ["send"]})
    assert taken.answer == {"x": [{"name": "Ann", "age": None}, {"name": "Bob", "age": 7}]}


def test_problems_of_items_stand_at_their_place_after_others_are_removed():
    """Names of items are not places: the second of three, removed, does not move the third."""
    posted = {"/x#item": ["", "0", "2"], "/x/0/name": ["Ann"], "/x/2/name": ["B"], "do": ["send"]}
    taken = take(schema_with(list[Guest]), posted)
    assert list(problems_in(taken.form)) == ["x.2.name"]
    assert taken.form.root.children[0].children[1].children[0].name == "/x/2/name"


def test_a_list_that_needs_items_begins_with_them():
    """`min_length=2` shows two items; an emptied list of a default stays empty."""
    assert len(field_of(list[int], min_length=2).children) == 2
    schema = schema_with(list[str], ["a", "b"])
    assert [child.text for child in blank_form(schema).fields[0].children] == ["a", "b"]
    assert typed(schema, **{"/x#item": [""]}).answer == {"x": []}


def test_a_blank_item_is_not_dropped():
    """An item that was added and left blank is refused, not forgotten."""
    taken = typed(schema_with(list[int]), **{"/x#item": ["", "0"], "/x/0": ""})
    assert list(problems_in(taken.form)) == ["x.1"]


def test_a_dict_is_pairs():
    """A dict's keys are typed beside its values; one without a key is refused."""
    schema = schema_with(dict[str, int])
    posted = {"/x#item": ["", "0", "1"], "/x/0#key": "a", "/x/0": "1", "/x/1#key": "b", "/x/1": "2"}
    assert typed(schema, **posted).answer == {"x": {"a": 1, "b": 2}}
    taken = typed(schema, **{**posted, "/x/1#key": ""})
    assert "it needs a key" in problems_in(taken.form).values()


def test_a_tuple_has_its_places():
    """Each place of a tuple has its own type."""
    schema = schema_with(tuple[int, str])
    assert [child.kind for child in blank_form(schema).fields[0].children] == ["integer", "text"]
    assert typed(schema, **{"/x/0": "1", "/x/1": "a"}).answer == {"x": [1, "a"]}


def test_a_union_asks_which_and_reads_that_one():
    """The branch is chosen by name, the default's branch at first; problems are about that one."""
    schema = schema_with(int | str, "seven")
    [field] = blank_form(schema).fields
    assert (field.choice, field.choices) == ("1", [("0", "Whole number"), ("1", "Text")])
    assert typed(schema, **{"/x#kind": "0", "/x": "7"}).answer == {"x": 7}
    assert typed(schema, **{"/x#kind": "1", "/x": "7"}).answer == {"x": "7"}


def test_a_discriminated_union_sets_its_discriminator():
    """The discriminator is not asked for: it follows from the choice."""
    schema = schema_with(Annotated[Cat | Dog, Field(discriminator="kind")])
    [field] = blank_form(schema).fields
    assert [label for _, label in field.choices] == ["Cat", "Dog"]
    kinds = {child.label: child.kind for child in field.children[0].children}
    assert kinds == {"Kind": "constant", "Lives": "integer"}
    assert typed(schema, **{"/x#kind": "0", "/x/lives": "7"}).answer == {
        "x": {"kind": "cat", "lives": 7}
    }
    taken = typed(schema, **{"/x#kind": "1", "/x/tricks#item": ["", "0"], "/x/tricks/0": "roll"})
    assert taken.answer == {"x": {"kind": "dog", "tricks": ["roll"]}}


def test_a_problem_within_a_branch_is_about_that_branch():
    """Not "valid under none of the schemas", but what is wrong with the one that was chosen."""
    taken = typed(schema_with(Guest | int), **{"/x#kind": "0", "/x/name": "A"})
    [(place, words)] = problems_in(taken.form).items()
    assert place == "x.name"
    assert "at least 2 characters" in words


def test_an_optional_model_is_nothing_until_it_is_filled_in():
    """A nested model that may be None is left out as a whole, or filled in."""
    schema = schema_with(Guest | None, None)
    [field] = blank_form(schema).fields
    assert (field.choice, field.children) == ("-", [])
    assert typed(schema, **{"/x#kind": "-"}).answer == {"x": None}
    assert typed(schema, **{"/x#kind": "0", "/x/name": "Ann"}).answer["x"]["name"] == "Ann"


def test_a_model_that_contains_itself_has_an_end():
    """The fields of a recursive model are made when they are asked for."""
    schema = schema_of(Tree)
    posted = {"/value": "1", "/branches#item": ["", "0"], "/branches/0/value": "2"}
    assert len(blank_form(schema).fields) == 2
    assert typed(schema, **posted).answer == {
        "value": 1,
        "branches": [{"value": 2, "branches": []}],
    }


def test_defaults_that_only_the_flow_knows_are_left_to_it():
    """A `default_factory` is not in the schema: a blank field is left out of the answer."""
    schema = schema_with(list[str], default_factory=lambda: ["from the flow"])
    assert typed(schema, **{"/x#item": [""]}).answer == {}


def test_odd_names_of_fields():
    """A field's name may hold what HTML, JSON pointers and our own marks use."""

    class Odd(RunInput):
        x: str = Field(alias='a/b~c#d e."<f>')

    schema = schema_of(Odd)
    [field] = blank_form(schema).fields
    assert typed(schema, **{field.name: "v"}).answer == {'a/b~c#d e."<f>': "v"}


def test_json_extras_do_no_harm():
    """Keywords that nobody knows are ignored; `format` may ask for a larger field."""
    assert field_of(str, json_schema_extra={"format": "textarea"}).kind == "area"
    assert field_of(str, json_schema_extra={"x-anything": {"$ref": 3}}).kind == "text"


def test_the_json_box_takes_what_the_fields_cannot():
    """The box is checked by the same schema; what is wrong is said above it, and the text stays."""
    schema = schema_with(int, ge=1)
    assert take(schema, {"do": ["json"], "json": ['{"x": 3}']}).answer == {"x": 3}
    for text in ('{"x": 0}', "{", "[]", ""):
        taken = take(schema, {"do": ["json"], "json": [text]})
        assert taken.answer is UNSET
        assert taken.form.box_is_open
        assert taken.form.problems
        assert taken.form.json == text


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "object",
            "properties": {"x": {"$ref": "#/$defs/x"}},
            "$defs": {"x": {"$ref": "#/$defs/x"}},
        },
        {"type": "object", "properties": {"x": {"type": "array", "minItems": "many"}}},
        {"type": "object", "properties": {"x": {"anyOf": [1, None]}}},
        {"type": "object", "properties": [1]},
        {"type": "object", "properties": {"x": 1, "y": {"enum": {}}, "z": {"type": {}}}},
        {"anyOf": "x"},
        {"properties": {"x": {"type": "string", "format": [], "title": {}, "description": 3}}},
    ],
    ids=range(7),
)
def test_a_schema_by_hand_is_asked_for_somehow(schema):
    """Whatever stands in the store, there is a form, or at least the JSON box."""
    form = blank_form(schema)
    assert form.root is not None or form.box_is_open


def untouched(annotation, default=UNSET, **options):
    """What the page sends for a form as it is shown."""
    schema = schema_with(annotation, default, **options)
    html = FORM.render(form=blank_form(schema), hidden={})
    return take(schema, browser.untouched(html)).answer


@pytest.mark.parametrize(
    ("annotation", "default", "options"),
    [
        (list[int] | None, [], {}),
        (list[int] | None, None, {"min_length": 1}),
        (list[int], None, {}),
        (dict[str, int] | None, {}, {}),
        (Guest, None, {}),
        (int, None, {}),
        (int, 0, {"ge": 1}),
        (int | None, "unset", {}),
        (Colour, "none", {}),
        (Colour | None, "none", {}),
        (bool, "unset", {}),
        (str, "", {"min_length": 1}),
        (Annotated[Decimal, Field(max_digits=2)], 1000, {}),
    ],
    ids=str,
)
def test_a_default_stays_what_it_is(annotation, default, options):
    """Empty or null, and whether or not it fits: nobody checks the default of a model."""
    assert untouched(annotation, default, **options) in ({"x": default}, {})


def test_a_list_that_may_be_null_is_null_without_items():
    """It asks for none, however many it has to have."""
    schema = schema_with(list[str] | None, min_length=2)
    [field] = blank_form(schema).fields
    assert field.children == []
    assert take(schema, {"do": ["send"], "/x#item": [""]}).answer == {"x": None}
