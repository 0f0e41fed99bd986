"""Answers: defaults, and what is wrong with them, at a bounded cost."""

from __future__ import annotations

import time
from typing import Any

import pytest

from runbus.forms.answers import MOST_ERRORS, schema_error, validation_errors
from runbus.forms.defaults import with_defaults

UNUSABLE: list[Any] = [
    {"type": "nonsense"},
    {"pattern": "("},
    {"$ref": "#/$defs/nowhere"},
    {"$ref": "http://example.org/elsewhere"},
    3,
]


@pytest.mark.parametrize("schema", UNUSABLE)
def test_a_form_that_is_no_schema_is_told_in_words(schema: Any) -> None:
    """It raises nothing of the validator's own, and nothing is fetched."""
    assert schema_error(schema)
    assert validation_errors(schema, {})[""].startswith("the form itself cannot be used")


@pytest.mark.parametrize("schema", [True, {"properties": {"a": True}}, {}])
def test_a_form_that_takes_everything(schema: Any) -> None:
    """`true` is a JSON Schema too, of an answer or of a field."""
    assert with_defaults(schema, {"a": 1}) == {"a": 1}
    assert validation_errors(schema, {"a": 1}) == {}


def test_each_field_tells_its_first_problem() -> None:
    """By the field's path; a missing one by its name; a reference leads where it did."""
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 2},
            "age": {"type": "integer"},
            "home": {"$ref": "#/$defs/Home"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["name", "age"],
        "$defs": {"Home": {"type": "object", "required": ["street"]}},
    }
    problems = validation_errors(schema, {"name": "x", "home": {}, "tags": ["a", 1, 2]})
    assert problems.keys() == {"name", "age", "home.street", "tags.2"}
    assert problems["age"] == problems["home.street"] == "it is required"


def test_what_is_wrong_with_the_answer_as_a_whole() -> None:
    """A problem that is no field's has the name ``."""
    assert validation_errors({"type": "object"}, [1]).keys() == {""}
    closed = {"type": "object", "properties": {"a": {}}, "additionalProperties": False}
    assert validation_errors(closed, {"b": 1}).keys() == {"b"}


def test_a_large_answer_that_is_wrong_everywhere_costs_little() -> None:
    """A hundred thousand wrong items are one problem, and not a list of as many."""
    schema = {"properties": {"value": {"type": "array", "items": {"type": "string"}}}}
    answer = {"value": list(range(100_000))}
    begun = time.process_time()
    assert validation_errors(schema, answer).keys() == {"value.1"}
    assert time.process_time() - begun < 0.5  # the whole list took 1.7 s


def test_a_schema_of_many_branches_costs_little() -> None:
    """Where each of 2**24 branches has the same problem, the first one is enough."""
    branches: dict[str, Any] = {"d24": {"type": "string"}}
    for number in range(24):
        branch = {"$ref": f"#/$defs/d{number + 1}"}
        branches[f"d{number}"] = {"allOf": [branch, branch]}
    schema = {"properties": {"value": {"$ref": "#/$defs/d0"}}, "$defs": branches}
    begun = time.process_time()
    assert validation_errors(schema, {"value": 3}).keys() == {"value"}
    assert time.process_time() - begun < 0.5


def test_many_problems_are_cut_short() -> None:
    """The last word says that there are more."""
    schema = {"properties": {f"f{number}": {"type": "string"} for number in range(50)}}
    problems = validation_errors(schema, {f"f{number}": number for number in range(50)})
    assert len(problems) == MOST_ERRORS + 1
    assert problems[""] == "there are more problems"


RUNAWAYS = [
    r"^(a+)+$",
    r"^(a|aa)+$",
    r"^(a|a?)+$",
    r"^((a|aa)+)(?!b)$",
    r"^(a+)+\1$",
    r"(a+a+)+\1y",
    r"(?=.*[0-9])(?=.*[a-z]).{8,}",
    r"^[ab]*a[ab]{5000}x$",
    r"(?<=a+)b",
    r"^([^\W_]+)+[^\W\d]{5000}$",
]


@pytest.mark.parametrize("length", [30, 3000, 100_000, 1_000_000])
@pytest.mark.parametrize("pattern", RUNAWAYS)
@pytest.mark.parametrize(
    "place", ["pattern", "items", "patternProperties", "propertyNames"], ids=str
)
def test_no_pattern_runs_away(pattern: str, length: int, place: str) -> None:
    """Whatever the pattern and the text, wherever it stands, a verdict takes a second at most."""
    text = "ab" * (length // 2 - 1) + "a!"
    schemas: dict[str, tuple[Any, Any]] = {
        "pattern": ({"type": "string", "pattern": pattern}, text),
        "items": ({"items": {"pattern": pattern}}, [text[:1000]] * (length // 1000 + 1)),
        "patternProperties": ({"patternProperties": {pattern: False}}, {text: 1}),
        "propertyNames": ({"propertyNames": {"pattern": pattern}}, {text: 1}),
    }
    schema, answer = schemas[place]
    begun = time.process_time()
    validation_errors({"properties": {"x": schema}}, {"x": answer})
    assert time.process_time() - begun < 1


def test_a_pattern_that_looks_ahead_still_decides() -> None:
    """What the linear engine has not is matched by another, with the texts that people type."""
    schema = {"properties": {"x": {"type": "string", "pattern": "^(?=.*[0-9])(?=.*[a-z]).{8,}$"}}}
    assert validation_errors(schema, {"x": "abcdefg1"}) == {}
    assert "must match" in validation_errors(schema, {"x": "abcdefgh"})["x"]
    assert validation_errors(schema, {"x": "abcdefg1" * 400}) == {}
    assert "too long" in validation_errors(schema, {"x": "abcdefg1" * 100_000})[""]


def test_a_wrong_answer_to_a_huge_form_costs_little() -> None:
    """1,500 fields with 1 MB of definitions: what is wrong is found, in a second."""
    texts = {f"t{i}": {"type": "string", "description": "x" * 600} for i in range(1500)}
    fields = {
        f"f{i}": {"anyOf": [{"$ref": f"#/$defs/t{i}"}, {"type": "null"}]} for i in range(1500)
    }
    schema = {"type": "object", "properties": fields, "$defs": texts}
    begun = time.process_time()
    problems = validation_errors(schema, {**{f"f{i}": "good" for i in range(1500)}, "f1499": 1})
    assert time.process_time() - begun < 1
    assert list(problems) == ["f1499"]
