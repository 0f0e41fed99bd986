"""Answers: defaults, and what is wrong with them, at a bounded cost."""

from __future__ import annotations

import time
from typing import Any

import pytest

from runbus.protocol.answers import MOST_PROBLEMS, flaw_of, problems_of, with_defaults

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
    assert flaw_of(schema)
    assert problems_of(schema, {})[""].startswith("the form itself cannot be used")


@pytest.mark.parametrize("schema", [True, {"properties": {"a": True}}, {}])
def test_a_form_that_takes_everything(schema: Any) -> None:
    """`true` is a JSON Schema too, of an answer or of a field."""
    assert with_defaults(schema, {"a": 1}) == {"a": 1}
    assert problems_of(schema, {"a": 1}) == {}


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
    problems = problems_of(schema, {"name": "x", "home": {}, "tags": ["a", 1, 2]})
    assert problems.keys() == {"name", "age", "home.street", "tags.1"}
    assert problems["age"] == problems["home.street"] == "it is required"


def test_what_is_wrong_with_the_answer_as_a_whole() -> None:
    """A problem that is no field's has the name ``."""
    assert problems_of({"type": "object"}, [1]).keys() == {""}
    closed = {"type": "object", "properties": {"a": {}}, "additionalProperties": False}
    assert problems_of(closed, {"b": 1}).keys() == {""}


def test_a_large_answer_that_is_wrong_everywhere_costs_little() -> None:
    """A hundred thousand wrong items are one problem, and not a list of as many."""
    schema = {"properties": {"value": {"type": "array", "items": {"type": "string"}}}}
    answer = {"value": list(range(100_000))}
    begun = time.process_time()
    assert problems_of(schema, answer).keys() == {"value.0"}
    assert time.process_time() - begun < 0.5  # the whole list took 1.7 s


def test_a_schema_of_many_branches_costs_little() -> None:
    """Where each of 2**24 branches has the same problem, the first one is enough."""
    branches: dict[str, Any] = {"d24": {"type": "string"}}
    for number in range(24):
        branch = {"$ref": f"#/$defs/d{number + 1}"}
        branches[f"d{number}"] = {"allOf": [branch, branch]}
    schema = {"properties": {"value": {"$ref": "#/$defs/d0"}}, "$defs": branches}
    begun = time.process_time()
    assert problems_of(schema, {"value": 3}).keys() == {"value"}
    assert time.process_time() - begun < 0.5


def test_many_problems_are_cut_short() -> None:
    """The last word says that there are more."""
    schema = {"properties": {f"f{number}": {"type": "string"} for number in range(50)}}
    problems = problems_of(schema, {f"f{number}": number for number in range(50)})
    assert len(problems) == MOST_PROBLEMS + 1
    assert problems[""] == "there are more problems"
