"""Secrets of a form: which fields they are, and what is shown in their place."""

from __future__ import annotations

from pydantic import BaseModel, Field, Secret, SecretStr

from runbus.forms.answers import validation_errors
from runbus.forms.form_schema import FormSchema
from runbus.forms.parts import Text
from runbus.forms.schema import SchemaReader
from runbus.forms.secrets import hidden_names, without_secret_defaults, without_secrets


class Box(BaseModel):
    code: SecretStr


class Hidden(BaseModel):
    password: SecretStr = Field(min_length=20)
    boxes: list[Box] = Field([])
    codes: dict[str, SecretStr | None] = Field({})
    pin: int = Field(0, json_schema_extra={"writeOnly": True})
    items: str = ""


SECRET = {"type": "string", "format": "password"}
HIDDEN = Hidden.model_json_schema()


def test_what_is_secret_in_a_form() -> None:
    """What a field marks, also in lists, maps and nested forms; nothing else."""
    assert hidden_names(HIDDEN) == {"password", "code", "codes", "pin"}
    given = {
        "boxes": [{"code": "c"}],
        "pin": 5,
        "items": "seen",
        "password": "p",
        "codes": {"a": "b"},
    }
    assert without_secrets(HIDDEN, given) == {
        "password": "…",
        "boxes": [{"code": "…"}],
        "codes": "…",
        "pin": "…",
        "items": "seen",
    }


class Pin(Secret[int]):
    pass


class Wrapped(BaseModel):
    number: Secret[int]
    word: Secret[str] | None = None
    pins: list[Pin] = Field([])
    box: Secret[Box]
    seen: int = 0


def test_any_type_may_be_secret() -> None:
    """What `Secret[…]` is made of, whatever that is, a form asks for unseen."""
    form = Wrapped.model_json_schema(schema_generator=FormSchema)
    assert hidden_names(form) == {"number", "word", "pins", "box", "code"}
    given = {"number": 5, "word": "w", "pins": [6], "box": {"code": "c"}, "seen": 7}
    hidden = {"number": "…", "word": "…", "pins": "…", "box": "…", "seen": 7}
    assert without_secrets(form, given) == hidden


def test_a_form_that_leads_back_to_itself() -> None:
    """It is looked at once, however often it refers to itself."""
    again = [{"$ref": "#"}, {"items": {"$ref": "#/properties/next"}}] * 50
    schema = {"properties": {"next": {"anyOf": again}, "code": {"anyOf": [*again, SECRET]}}}
    assert hidden_names(schema) == {"code"}


def test_defaults_that_are_secret() -> None:
    """They are in no form; that there is none is no secret."""
    fields = {"a": {**SECRET, "default": "x"}, "b": {**SECRET, "default": None}, "c": SECRET}
    assert without_secret_defaults({"properties": fields})["properties"] == {
        "a": SECRET,
        "b": {**SECRET, "default": None},
        "c": SECRET,
    }


def test_an_error_about_a_secret() -> None:
    """It says what is wrong without what was typed."""
    problems = validation_errors(HIDDEN, {"password": 'hunter"2', "pin": "31415", "items": 5})
    assert problems.keys() == {"password", "pin", "items"}
    assert "hunter" not in str(problems)
    assert "31415" not in str(problems)
    assert "5" in problems["items"]


def test_a_secret_is_asked_for_unseen() -> None:
    """However the schema marks it."""
    reader = SchemaReader({})
    marks = [{"format": "password"}, {"writeOnly": True}]
    for part in (reader.part({"type": "string", **mark}) for mark in marks):
        assert isinstance(part, Text)
        assert part.is_secret
