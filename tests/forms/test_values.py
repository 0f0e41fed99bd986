"""Values: written for a person, and read again, exactly."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbus.forms.part_checker import PartChecker, TooMuchToCheck
from runbus.forms.parts import Boolean, Json, Number, Part, Text
from runbus.forms.references import resolve, standalone
from runbus.forms.schema import SchemaReader
from runbus.forms.values import Mistyped, read_value, write_value

some = settings(max_examples=200, deadline=None)
WHOLE, FLOAT, DECIMAL = (
    Number(schema={}, is_whole=True),
    Number(schema={}),
    Number(schema={}, is_decimal=True),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner),
    max_leaves=5,
)  # fmt: skip
VALUES = st.one_of(
    st.tuples(st.just(WHOLE), st.integers(-(10**398), 10**399)),
    st.tuples(st.just(FLOAT), st.floats(allow_nan=False, allow_infinity=False)),
    st.tuples(st.just(Text(schema={})), st.text()),
    st.tuples(st.just(Boolean(schema={})), st.booleans()),
    st.tuples(st.just(Json(schema={})), json_values.filter(lambda value: value is not None)),
)


@some
@given(VALUES)
def test_what_is_written_is_read_again(given_: tuple[Part, Any]) -> None:
    """As the very value, of any size."""
    part, value = given_
    assert read_value(part, write_value(part, value)) == value


@some
@given(st.decimals(allow_nan=False, allow_infinity=False, places=30).map("{:f}".format))
def test_no_digit_of_a_decimal_is_lost(text: str) -> None:
    """It is a JSON number where a float says the same, else the text."""
    read = read_value(DECIMAL, text)
    assert Decimal(read if isinstance(read, str) else json.dumps(read)) == Decimal(text)


@some
@given(st.text())
def test_whatever_is_typed_is_read_or_refused(text: str) -> None:
    """What is read is JSON."""
    for part in (WHOLE, FLOAT, DECIMAL, Boolean(schema={}), Json(schema={})):
        with suppress(Mistyped):
            value = read_value(part, text)
            assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_references_end() -> None:
    """In a circle they lead to nothing, and what is elsewhere is not looked for."""
    circle = {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}}
    assert SchemaReader(circle).part({"$ref": "#/$defs/a"}, "some_name").title == "Some name"
    assert resolve({}, {"$ref": "http://example.org/x", "title": "X"}) == {"title": "X"}
    escaped = {"definitions": {"a/b c": {"type": "integer"}}}
    assert resolve(escaped, {"$ref": "#/definitions/a~1b%20c"}) == {"type": "integer"}


def test_a_part_is_checked_as_within_its_form() -> None:
    """Its references lead into the form; what it costs is bounded."""
    root = {"properties": {"x": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "integer"}}}
    part = SchemaReader(root).part({"type": "array", "items": {"$ref": "#/properties/x"}})
    assert PartChecker(root).errors(part, [1, 2]) == {}
    assert PartChecker(root).errors(part, [1, "b"]).keys() == {"2"}
    assert standalone(root, {"type": "string"}) == {"type": "string"}
    with pytest.raises(TooMuchToCheck):
        PartChecker(root, most_bytes=20).errors(part, [1])
