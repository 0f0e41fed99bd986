"""Any type at any door: the one check takes what the flow's own type takes, as it was put in.

The differences that there are, each with its reason:

- A form takes one spelling of a value, where pydantic takes several: no number for a date, no text
  for a whole number. So what a form takes is compared with pydantic's strict mode.
- Where a dict has two keys that are the same when they are read, pydantic keeps the last one. A
  form refuses them.
- A `Literal[1]` takes `true` for pydantic, as Python holds them for equal, and a form does not. So
  no such value is made here, nor a literal of an enum in a plain model, whose JSON pydantic
  does not read, nor an address, which pydantic reads from a number.
- JSON's `1.10` is the float 1.1 for pydantic. A form keeps a `Decimal`'s digits, and counts them.
- The page asks for the fields of the form: what else an answer may have, it does not send.
- On the page, what is left blank is not there: an empty text that is required is missing, and one
  that may be null is null, as an empty list is.
- On the page, a dict's key is not empty.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict, ValidationError, create_model
from pydantic_core import from_json, to_json

from fuzz import any_type, browser
from fuzz.test_posted_forms import FORM
from fuzz.test_typed_lines import typing
from runbus import flow
from runbus.cli import form_prompts
from runbus.cli.resume import _given
from runbus.forms.answers import validate_answer
from runbus.forms.defaults import defaults_of
from runbus.forms.parameters import checked_parameters
from runbus.forms.parts import UNSET
from runbus.input.run_input import _beyond_defaults, own_form
from runbus.web.form_page import blank_form, take

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # of odd defaults
some = settings(max_examples=60, deadline=None)
LINES = 200


def form_of(model: Any) -> dict[str, Any]:
    return from_json(to_json(own_form(model).schema))


def received(model: Any, answer: object) -> str:
    """What the flow gets, but for the last digits that a float has not."""
    data = answer if isinstance(answer, bytes) else to_json(answer)
    return shown(model.decode(_beyond_defaults(model, data)))


def shown(value: object) -> str:
    return re.sub(r"Decimal\('([^']+)'\)", lambda found: repr(float(found[1])), repr(value))


def reads(model: Any, data: bytes, *, strict: bool) -> bool:
    try:
        model.__pydantic_validator__.validate_json(data, strict=strict, by_alias=True, by_name=True)
    except ValidationError:
        return False
    return True


def is_stricter(errors: dict[str, str]) -> bool:
    """Whether a form refuses what pydantic reads and loses something of: a key, or digits."""
    return bool(re.search(r"are the same|at most \d+ digits", " ".join(errors.values())))


@some
@given(any_type.run_inputs, st.data())
def test_a_form_takes_what_its_model_takes(kind: any_type.Kind, data: st.DataObject) -> None:
    """Nothing that the model refuses, all that it takes as it is written; and it is not changed."""
    model, value = kind.annotation, data.draw(kind.values).encode()
    answer, errors = validate_answer(form_of(model), value)
    if errors:
        assert is_stricter(errors) or not reads(model, value, strict=True), errors
        return
    assert reads(model, _beyond_defaults(model, value), strict=False)
    assert received(model, answer) == received(model, value)


def sent_untouched(schema: dict[str, Any], answer: Any) -> Any:
    html = FORM.render(form=blank_form(schema, answer), hidden={})
    return take(schema, browser.untouched(html)).answer


def entered(schema: dict[str, Any], answer: Any) -> Any:
    with typing([""] * LINES):
        return form_prompts.ask(schema, answer)


def pasted(schema: dict[str, Any], answer: Any) -> Any:
    return take(schema, {"do": ["json"], "json": [json.dumps(answer)]}).answer


def by_input(schema: dict[str, Any], answer: Any) -> Any:
    return _given(schema, json.dumps(answer))


@some
@given(any_type.run_inputs, st.data())
def test_an_answer_goes_through_each_door_as_it_is(
    kind: any_type.Kind, data: st.DataObject
) -> None:
    """Shown on the page and sent as it stands, entered again line by line, pasted as JSON."""
    model, schema = kind.annotation, form_of(kind.annotation)
    answer, errors = validate_answer(schema, data.draw(kind.values).encode())
    assume(not errors)
    value = from_json(answer)
    for door in (entered, pasted, by_input):
        assert received(model, door(schema, value)) == received(model, answer), door
    asked = without_others(value)
    sent = sent_untouched(schema, asked)
    empties = has_blanks(list(defaults_of(schema).values()))
    if has_blanks(asked) or (empties and None in asked.values()):
        return
    assert sent is not UNSET
    assert received(model, sent) == received(model, to_json(asked))


def without_others(value: Any) -> Any:
    """Leave out the fields that no form has."""
    if isinstance(value, dict):
        return {name: without_others(each) for name, each in value.items() if name != "other"}
    return [without_others(each) for each in value] if isinstance(value, list) else value


def has_blanks(value: Any) -> bool:
    """Whether there is what the page cannot tell from nothing."""
    if isinstance(value, (dict, list)):
        inner = value.values() if isinstance(value, dict) else value
        return not value or "" in value or any(map(has_blanks, inner))
    return value == ""


@some
@given(any_type.kinds, st.data())
def test_a_parameter_is_taken_as_its_type_takes_it(
    kind: any_type.Kind, data: st.DataObject
) -> None:
    """A run is made of what its flow takes, and the flow gets what JSON is as that type."""

    def call(x: Any) -> None: ...

    call.__annotations__ = {"x": kind.annotation}
    called, value = flow(call), data.draw(kind.values)
    stored, problems = checked_parameters(
        to_json(called.parameters_schema()), f'{{"x": {value}}}'.encode()
    )
    config = ConfigDict(val_json_bytes="base64")
    model = create_model("Called", __config__=config, x=(kind.annotation, ...))
    expected = reads(model, f'{{"x": {value}}}'.encode(), strict=True)
    if problems:
        assert is_stricter(problems) or not expected
        return
    got = called.prepare_stored(from_json(stored)).parameters["x"]
    assert shown(got) == shown(model.model_validate_json(f'{{"x": {value}}}').x)
