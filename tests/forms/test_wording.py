"""Hints: what can be typed for a field, in a few words, the same at every door."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

import pytest
from fuzz.test_typed_lines import typing
from pydantic import Field
from test_types_at_doors import Utf8, form_of, id_of, model_of

from runbus.cli import form_prompts
from runbus.cli.run_page import _about
from runbus.forms.answers import validation_errors
from runbus.forms.parts import UNSET
from runbus.forms.schema import SchemaReader
from runbus.forms.wording import hint
from runbus.web.form_page import blank_form
from runbus.web.templating import _environment

HINTS = [
    (bytes, "bytes in base64"),
    (bytes | None, "bytes in base64, optional"),
    (Annotated[bytes, Field(min_length=1)], "bytes in base64"),
    (list[bytes], "a list of bytes in base64"),
    (Utf8, ""),
    (Annotated[float, Field(ge=0.0)], "a number, at least 0"),
    (Annotated[float, Field(ge=0.0, le=500.5)], "a number, 0 to 500.5"),
    (Annotated[float, Field(gt=0.0, multiple_of=2.0)], "a number, more than 0, a multiple of 2"),
    (Annotated[float, Field(le=1e300)], "a number, at most 1e+300"),
    (Annotated[Decimal, Field(ge=0, le=Decimal("500.00"))], "a number, 0 to 500"),
    (tuple[int, str], "a list, 2 of them"),
    (
        Annotated[list[int], Field(min_length=1, max_length=2)],
        "a list of whole numbers, 1 to 2 of them",
    ),
    (Annotated[str, Field(min_length=3, max_length=3)], "3 characters"),
    (Annotated[str, Field(max_length=1)], "at most 1 character"),
]


@pytest.mark.parametrize(("annotation", "words"), HINTS, ids=id_of)
def test_a_hint_says_what_can_be_typed(annotation: Any, words: str) -> None:
    """In the terminal's form, and where a run is shown."""
    schema = form_of(model_of(annotation))
    reader = SchemaReader(schema)
    [(_, part)] = reader.fields(reader.form())  # type: ignore[arg-type]
    assert hint(part) == words
    assert words in _about(part, UNSET)


def test_bytes_are_asked_for_in_base64() -> None:
    """On the page and on a terminal."""
    schema = form_of(model_of(bytes))
    fields = _environment().get_template("_fields.html").module
    assert "bytes in base64" in fields.hints(blank_form(schema).fields[0])  # type: ignore[attr-defined]
    with typing(["aGVsbG8="]) as shown:
        assert form_prompts.ask(schema) == {"x": "aGVsbG8="}
    assert "bytes in base64" in shown.getvalue()


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (Annotated[float, Field(ge=0.0)], -1, "it must be at least 0, and is -1"),
        (Annotated[float, Field(lt=500.0)], 501, "it must be less than 500, and is 501"),
        (Annotated[float, Field(multiple_of=2.0)], 3, "it must be a multiple of 2, and is 3"),
        (bytes | int, [], "it must be bytes in base64 or a whole number"),
    ],
    ids=id_of,
)
def test_a_refusal_has_the_same_words(annotation: Any, value: Any, words: str) -> None:
    """A whole bound is written without a point."""
    assert validation_errors(form_of(model_of(annotation)), {"x": value}) == {"x": words}
