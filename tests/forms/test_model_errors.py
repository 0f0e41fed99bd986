"""What a model says of an answer, at the places of the answer, for those who are asked again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    Json,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError, to_json

from runbus import RunInput
from runbus.forms.model_errors import LONGEST_MESSAGE, MOST_BYTES, refusal_of
from runbus.input.run_input import own_form
from runbus.protocol.problems import by_place, read_problems

if TYPE_CHECKING:
    from runbus.forms.model_errors import Refusal


def refuse(value: Any) -> Any:
    raise ValueError("not this one")


def told(value: Any) -> Any:
    raise ValueError(f"{value} and {value!r} are known to all")


def asserted(value: Any) -> Any:
    raise AssertionError("never")


def custom(value: Any) -> Any:
    raise PydanticCustomError("mine", "my own {thing}", {"thing": "words"})


def silent(value: Any) -> Any:
    raise ValueError


class Cat(BaseModel):
    kind: Literal["cat"]
    name: Annotated[str, AfterValidator(refuse)]


class Dog(BaseModel):
    kind: Literal["dog"]
    age: int


class Whole(BaseModel):
    number: int

    @model_validator(mode="before")
    @classmethod
    def look(cls, value: Any) -> Any:
        return refuse(value)


def model_with(annotation: Any) -> Any:
    return type("Asked", (RunInput,), {"__annotations__": {"x": annotation}})


def refusal(model: Any, answer: Any, now: Any = None) -> Refusal:
    """Why an answer to a model is not taken, by the form of another model if there is one."""
    asked, form = own_form(model).schema, own_form(now or model).schema
    with pytest.raises(ValidationError) as caught:
        (now or model).decode(to_json(answer))
    return refusal_of(caught.value, to_json(answer), asked, form)


def problems(model: Any, answer: Any, now: Any = None) -> dict[str, str]:
    return by_place(read_problems(json.loads(refusal(model, answer, now).problems)))


@pytest.mark.parametrize(
    ("annotation", "value", "found"),
    [
        (Annotated[int, AfterValidator(refuse)], 1, {"x": "not this one"}),
        (Annotated[int, BeforeValidator(refuse)], 1, {"x": "not this one"}),
        (Annotated[int, AfterValidator(asserted)], 1, {"x": "never"}),
        (Annotated[int, AfterValidator(custom)], 1, {"x": "my own words"}),
        (Annotated[int, AfterValidator(silent)], 1, {"x": "it does not fit the form"}),
        (list[Annotated[int, AfterValidator(refuse)]], [1], {"x.1": "not this one"}),
        (dict[int, Annotated[int, AfterValidator(refuse)]], {"7": 1}, {"x.7": "not this one"}),
        (Cat | Dog, {"kind": "cat", "name": "Tom"}, {"x.name": "not this one"}),
        (
            Annotated[Cat | Dog, Field(discriminator="kind")],
            {"kind": "cat", "name": "Tom"},
            {"x.name": "not this one"},
        ),
        (Annotated[int, AfterValidator(refuse)] | None, 1, {"x": "not this one"}),
        (Whole, {"number": 1}, {"x": "not this one"}),
        (list[Whole], [{"number": 1}], {"x.1": "not this one"}),
        (Json[Annotated[int, AfterValidator(refuse)]], "1", {"x": "not this one"}),
    ],
)
def test_a_validators_words_stand_at_their_place(
    annotation: Any, value: Any, found: dict[str, str]
) -> None:
    """As it says them, wherever pydantic's own way leads."""
    said = problems(model_with(annotation), {"x": value})
    assert {place: said[place] for place in found} == found


class Login(BaseModel):
    user: Annotated[str, AfterValidator(refuse)]
    pin: int


class Code(BaseModel):
    code: str

    @model_validator(mode="after")
    def look(self) -> Any:
        return refuse(self)


class Named(BaseModel):
    user: str
    pin: int
    name: Annotated[str, AfterValidator(asserted)]


LOGIN, CODE = {"user": "ada", "pin": 1}, {"code": "1"}
TAGGED = Annotated[Cat | Dog, Field(discriminator="kind")]


@pytest.mark.parametrize(
    ("annotation", "value", "found"),
    [
        (Login | Code | None, LOGIN, {"x.user": "not this one"}),
        (Login | Code | None, CODE, {"x": "not this one"}),
        (Code | Login, LOGIN, {"x.user": "not this one"}),
        (
            list[Login | Code | int],
            [LOGIN, 1, CODE],
            {"x.1.user": "not this one", "x.3": "not this one"},
        ),
        (dict[str, Login | Code], {"a": CODE}, {"x.a": "not this one"}),
        (tuple[int, Login | Code], [1, CODE], {"x.2": "not this one"}),
        (Literal["a"] | Code, CODE, {"x": "not this one"}),
        (TAGGED | Login, {"kind": "cat", "name": "Tom"}, {"x.name": "not this one"}),
        (list[TAGGED | Login | None], [LOGIN], {"x.1.user": "not this one"}),
        (Login | Named, LOGIN, {"x.user": "not this one"}),
        (Login | Named, LOGIN | {"name": "Ada"}, {"x.name": "never"}),
        (Named | Login, LOGIN | {"name": "Ada"}, {"x.name": "never"}),
        (dict[Annotated[str, AfterValidator(refuse)], int], {"a": 1}, {"x.a": "not this one"}),
        (int | Annotated[str, AfterValidator(custom)], "a", {"x": "my own words"}),
    ],
)
def test_of_a_union_the_meant_member_alone_is_told(
    annotation: Any, value: Any, found: dict[str, str]
) -> None:
    """The one that fits the form, and of several the one that knows most of what is given."""
    assert problems(model_with(annotation), {"x": value}) == found


def own(value: Any) -> Any:
    raise PydanticCustomError("missing", "my own words")


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (int, "a", "it must be a whole number, such as 3"),
        (list[int], 1, "it must be a list"),
        (Literal["a", "b"], "c", "it must be 'a' or 'b'"),
        (Annotated[int, Field(le=5)], 7, "it must be at most 5"),
        (Annotated[str, Field(pattern="^a$")], "b", "it must match ^a$"),
        (TAGGED, {}, "it does not fit the form"),
        (Annotated[int, AfterValidator(own)], 1, "my own words"),
    ],
)
def test_what_no_form_can_say_is_told_in_our_words_too(
    annotation: Any, value: Any, words: str
) -> None:
    """Where a function of the user's own reads the value first; a user's own words stay."""
    read_first = Annotated[annotation, BeforeValidator(lambda given: given)]
    assert problems(model_with(read_first), {"x": value}) == {"x": words}


@pytest.mark.parametrize(
    ("annotation", "value", "found"),
    [
        (Annotated[int, Field(le=5)], 7, {"x": "it must be at most 5, and is 7"}),
        (Literal["a", "b"], "c", {"x": 'it must be one of a, b, and is "c"'}),
        (Dog, {"kind": "dog"}, {"x.age": "it is required"}),
        (int, "seven", {"x": 'it must be a whole number, and is "seven"'}),
    ],
)
def test_what_no_longer_fits_is_told_as_at_the_doors(
    annotation: Any, value: Any, found: dict[str, str]
) -> None:
    """The form says it in its own sentences, and pydantic's are not there besides."""
    assert problems(model_with(Any), {"x": value}, model_with(annotation)) == found


@pytest.mark.parametrize("secret", ["hush", "  Hush ", 'it"s\\a\nsecret', "älter"])
def test_a_secret_is_in_no_sentence(secret: str) -> None:
    """However the validator writes it; and its name is kept, so that no form is filled with it."""

    def leaks(value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        forms = (text, text.strip(), text.upper(), text.lower(), f"{text!r}", json.dumps(text))
        raise ValueError(" / ".join(forms))

    class Asked(RunInput):
        code: Annotated[SecretStr, AfterValidator(leaks)]

    found = refusal(Asked, {"code": secret})
    assert json.loads(found.veiled) == ["code"]
    assert by_place(read_problems(json.loads(found.problems))).keys() == {"code"}
    for part in (secret.strip(), secret.strip().upper(), secret.strip().lower()):
        assert part not in json.loads(found.problems)[0]["message"]


def test_a_secret_of_the_old_form_is_in_no_sentence() -> None:
    """Nor where the new form has it as a text that is shown."""
    asked, now = model_with(SecretStr), model_with(Annotated[str, AfterValidator(told)])
    found = refusal(asked, {"x": "hush"}, now)
    assert b"hush" not in found.problems
    assert found.veiled == b'["x"]'


def test_what_is_kept_is_bounded() -> None:
    """However long the sentences are, and however many; that there were more is said."""
    many = model_with(list[Annotated[int, AfterValidator(lambda _: refuse_at_length())]])
    found = refusal(many, {"x": [1] * 1000})
    assert len(found.problems) < MOST_BYTES + LONGEST_MESSAGE
    listed = json.loads(found.problems)
    assert listed[-1] == {"loc": [], "message": "there are more problems"}
    assert all(len(each["message"]) <= LONGEST_MESSAGE for each in listed)


def refuse_at_length() -> None:
    raise ValueError("so wrong " * 1000)


@pytest.mark.parametrize(
    "found", [7, {}, {"loc": [None], "message": "x"}, {"loc": [], "message": 1}]
)
def test_what_others_wrote_is_left_out(found: Any) -> None:
    """A record may be anybody's."""
    assert read_problems([found, {"loc": ["x", 0], "message": "y"}])[0].place == "x.1"
