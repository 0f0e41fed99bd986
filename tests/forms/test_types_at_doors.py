"""Types, values and doors: what is taken as what, and what is refused with which words.

The flow's own type has the last word: it takes what the doors take, and nothing that they refuse.
"""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from math import inf
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import pytest
from fuzz.test_typed_lines import typing
from pydantic import (
    AnyUrl,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FutureDate,
    FutureDatetime,
    HttpUrl,
    IPvAnyAddress,
    Json,
    NaiveDatetime,
    PastDate,
    PastDatetime,
    PostgresDsn,
    RootModel,
    Secret,
    SecretStr,
    ValidationError,
)
from pydantic.version import version_short
from pydantic_core import SchemaValidator, core_schema

from runbus import RunInput
from runbus.cli import form_prompts
from runbus.cli.exits import WrongCall
from runbus.cli.resume import _given as given
from runbus.forms.answers import validate_answer
from runbus.forms.core_types import core_error
from runbus.forms.parts import UNSET
from runbus.forms.schema import SchemaReader
from runbus.forms.values import read_value, write_value
from runbus.input.question import question_about
from runbus.web.form_page import take

PRICE = Annotated[Decimal, Field(ge=0, le=Decimal("500.00"), max_digits=5, decimal_places=2)]
LONG = "12345678901234567890.123456789"
BIG = 2**70 + 1
WORD = Annotated[str, Field(pattern=r"^\w+$")]
LETTERS = Annotated[str, Field(pattern=r"^[^\W\d]+$")]
OWN = Annotated[int, Field(ge=1, json_schema_extra={"error": "Bring at least one guest"})]


PARSED = Annotated[int, BeforeValidator(lambda text: int(str(text).split()[0]))]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    n: int


class Loose(BaseModel):
    n: int


class PythonPattern(RunInput):
    model_config = ConfigDict(regex_engine="python-re")
    x: Annotated[str, Field(pattern=r"^(?=\w)[\D]+$")]


class Utf8(RunInput):
    model_config = ConfigDict(ser_json_bytes="utf8", val_json_bytes="utf8")
    x: bytes


SecretInt = Secret[int]


class Inner(BaseModel):
    loose: Json[Loose]


class Wrapping(BaseModel):
    inner: Json[Inner]


class Numbers(RootModel[list[int]]):
    pass


def model_of(annotation: Any, **options: Any) -> type[RunInput]:
    if isinstance(annotation, type) and issubclass(annotation, RunInput):
        return annotation
    made: Any = type(
        "M", (RunInput,), {"__annotations__": {"x": annotation}, "x": Field(**options)}
    )
    return made


def form_of(model: type[RunInput]) -> dict[str, Any]:
    return json.loads(asyncio.run(question_about(model).form("1", uuid4())).schema)


# What each takes, by its JSON, and as what the flow has it.
TAKEN: list[tuple[Any, str, Any]] = [
    (date, '"2026-02-28"', date(2026, 2, 28)),
    (time, '"19:00"', time(19)),
    (datetime, '"2026-11-25T19:00"', datetime(2026, 11, 25, 19)),
    (AwareDatetime, '"2026-11-25T19:00Z"', datetime(2026, 11, 25, 19, tzinfo=UTC)),
    (NaiveDatetime, '"2026-11-25T19:00"', datetime(2026, 11, 25, 19)),
    (FutureDate, '"2999-11-25"', date(2999, 11, 25)),
    (PastDate, '"2001-11-25"', date(2001, 11, 25)),
    (FutureDatetime, '"2999-11-25T19:00"', datetime(2999, 11, 25, 19)),
    (PastDatetime, '"2001-11-25T19:00Z"', datetime(2001, 11, 25, 19, tzinfo=UTC)),
    (timedelta, '"PT1H"', timedelta(hours=1)),
    (UUID, f'"{UUID(int=1)}"', UUID(int=1)),
    (PRICE, "500", Decimal(500)),
    (PRICE, '"0.10"', Decimal("0.10")),
    (PRICE, "0.10", Decimal("0.10")),
    (PRICE | None, "null", None),
    (Decimal, LONG, Decimal(LONG)),
    (Decimal | None, LONG, Decimal(LONG)),
    (list[Decimal], f"[{LONG}, 1.50]", [Decimal(LONG), Decimal("1.50")]),
    (dict[str, Decimal], '{"a": 0.10}', {"a": Decimal("0.10")}),
    (int, str(BIG), BIG),
    (float, "1.50", 1.5),
    (float, '"Infinity"', inf),
    (float | None, '"-Infinity"', -inf),
    (list[float], '["Infinity", 1]', [inf, 1.0]),
    (Literal[b"a", b"c"], '"YQ=="', b"a"),
    (float | str, '"1,5"', "1,5"),
    (float | str, "0.10", 0.1),
    (Json[list[int]], '"[1]"', [1]),
    (bytes, '"aGVsbG8="', b"hello"),
    (Annotated[bytes, Field(max_length=5)], '"aGVsbG8="', b"hello"),
    (Utf8, '"grüße"', "grüße".encode()),
    (HttpUrl, '"https://example.org/"', HttpUrl("https://example.org/")),
    (AnyUrl, '"mailto:ada@example.org"', AnyUrl("mailto:ada@example.org")),
    (WORD, '"Zürich"', "Zürich"),
    (PythonPattern, '"Zürich"', "Zürich"),
    (LETTERS, '"Zürich"', "Zürich"),
    (Loose, '{"n": 1, "other": 2}', Loose(n=1)),
    (dict[int, str], '{"1": "a", "2": "b"}', {1: "a", 2: "b"}),
    (Strict | Literal["none"], '{"n": 1}', Strict(n=1)),
    (Numbers, "[1, 2]", Numbers([1, 2])),
    (OWN, "1", 1),
    (PARSED, '"3 guests"', 3),
    (Json[Loose], '"{\\"n\\": 1}"', Loose(n=1)),
    (Json[list[Loose | None]], '"[{\\"n\\": 1}, null]"', [Loose(n=1), None]),
    (Annotated[Decimal, BeforeValidator(lambda found: found)], LONG, Decimal(LONG)),
]  # fmt: skip

# What each refuses, by its JSON, and words that say why.
REFUSED: list[tuple[Any, str, str]] = [
    (date, '"2026-02-30"', 'must be a date, such as 2026-11-25, and is "2026-02-30"'),
    (date, '"tomorrow"', "must be a date"),
    (Annotated[date, Field(ge=date(2026, 1, 1))], '"2025-12-31"', "at least 2026-01-01"),
    (time, '"25:00"', "must be a time of day"),
    (datetime, '"soon"', "must be a date and time"),
    (AwareDatetime, '"2026-11-25T19:00"', "must say its time zone"),
    (NaiveDatetime, '"2026-11-25T19:00Z"', "must have no time zone"),
    (FutureDate, '"2001-11-25"', 'must be in the future, and is "2001-11-25"'),
    (PastDate, '"2999-11-25"', "must be in the past"),
    (FutureDate | None, '"2001-11-25"', "must be in the future"),
    (FutureDatetime, '"2001-11-25T19:00"', "must be in the future"),
    (PastDatetime, '"2999-11-25T19:00Z"', "must be in the past"),
    (timedelta, '"1 hour"', "must be a duration"),
    (Annotated[timedelta, Field(ge=timedelta(hours=1))], '"PT59M"', "at least PT1H"),
    (UUID, '"1"', "must be a UUID"),
    (PRICE, "-5", "at least 0, and is -5"),
    (PRICE, '"-5"', 'at least 0, and is "-5"'),
    (PRICE, "500.01", "at most 500.00, and is"),
    (PRICE, "12.345", "at most 2 digits after the point"),
    (PRICE | None, '"12.345"', "at most 2 digits after the point"),
    (PRICE, '"many"', "must be a number"),
    (Annotated[int, Field(lt=3)], "3", "less than 3, and is 3"),
    (float, '"1,5"', "number"),
    (Annotated[float, Field(ge=0)], '"-Infinity"', 'at least 0, and is "-Infinity"'),
    (Annotated[float, Field(allow_inf_nan=False)], '"Infinity"', "a number"),
    (Json, '"{bad"', "must be JSON"),
    (Json[list[int]], '"[\\"a\\"]"', "its JSON does not fit"),
    (Json[Loose], '"{}"', "its JSON does not fit"),
    (Json[list[Loose]], '"[{}]"', "its JSON does not fit"),
    (Json[dict[str, Loose]] | None, '"{\\"a\\": 1}"', "its JSON does not fit"),
    (list[Json[Loose]], '["{}"]', "its JSON does not fit"),
    (Wrapping, '{"inner": "{\\"loose\\": \\"{}\\"}"}', "its JSON does not fit"),
    (bytes, '"a"', "bytes in base64"),
    (Annotated[bytes, Field(max_length=4)], '"aGVsbG8="', "at most 4 bytes"),
    (HttpUrl, '"ftp://example.org/"', "begins with 'http' or 'https'"),
    (HttpUrl, '"example"', "must be a URL"),
    (PostgresDsn, '"https://example.org/"', "must be a URL that begins with"),
    (IPvAnyAddress, '"1.2.3"', "must be an IP address"),
    (WORD, '"a b"', r'must match ^\w+$, and is "a b"'),
    (PythonPattern, '"a1"', "must match"),
    (LETTERS, '"a1"', "must match"),
    (Strict, '{"n": 1, "other": 2}', "there is no such field"),
    (Strict | None, '{"n": "a"}', "must be a whole number"),
    (Strict | int, '"a"', "must be"),
    (dict[int, str], '{"x": "a"}', "its key x does not fit"),
    (dict[int, str], '{"1": "a", "01": "b"}', "its keys 1 and 01 are the same"),
    (dict[str, int], '{"a": 1, "a": 2}', "a is there twice"),
    (Numbers, '["a"]', "must be a whole number"),
    (OWN, "0", "Bring at least one guest"),
    (Annotated[SecretStr, Field(min_length=9)], '"hunter2"', "at least 9 characters"),
]


def by_api(schema: dict[str, Any], name: str, value: str) -> tuple[bytes, str]:
    answer, errors = validate_answer(schema, f'{{"{name}": {value}}}'.encode())
    return answer, "; ".join(errors.values())


def by_input(schema: dict[str, Any], name: str, value: str) -> tuple[bytes, str]:
    try:
        found = given(schema, f'{{"{name}": {value}}}')
    except WrongCall as error:
        return b"", str(error)
    return by_api(schema, name, json.dumps(found[name]))


def by_the_json_box(schema: dict[str, Any], name: str, value: str) -> tuple[bytes, str]:
    posted = {"do": ["json"], "json": [f'{{"{name}": {value}}}']}
    taken = take(schema, posted)
    if taken.answer is UNSET:
        return b"", " ".join(taken.form.problems)
    return by_api(schema, name, json.dumps(taken.answer[name]))


def id_of(part: Any) -> str:
    return re.sub(r" at 0x\w+", "", str(part))


WAYS = {"api": by_api, "--input": by_input, "json box": by_the_json_box}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("annotation", "value", "expected"), TAKEN, ids=id_of)
def test_what_is_taken_is_what_the_flow_gets(
    annotation: Any, value: str, expected: Any, way: str
) -> None:
    """Exactly, at every door."""
    name, model = asked(annotation)
    answer, error = WAYS[way](form_of(model), name, value)
    assert error == ""
    assert getattr(model.decode(answer), name) == expected
    if not isinstance(expected, datetime):  # pydantic has zones of its own
        assert repr(getattr(model.decode(answer), name)) == repr(expected)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("annotation", "value", "words"), REFUSED, ids=id_of)
def test_what_cannot_fit_is_refused_in_words(
    annotation: Any, value: str, words: str, way: str
) -> None:
    """At every door, with the bound; the flow would not take it either."""
    name, model = asked(annotation)
    _, error = WAYS[way](form_of(model), name, value)
    assert words in error
    assert "schema" not in error
    assert "hunter2" not in error
    if "twice" not in words and "same" not in words:
        with pytest.raises(ValidationError):
            model.decode(f'{{"{name}": {value}}}'.encode())


@pytest.mark.parametrize("days", range(-2, 3))
@pytest.mark.parametrize("when", ["past", "future"])
def test_a_day_that_is_past_or_future_somewhere_is_taken(when: Any, days: int) -> None:
    """The flow may be in any zone: only what it would refuse in each of them is refused."""
    day = str(datetime.now(UTC).date() + timedelta(days=days))
    zones = [
        SchemaValidator(core_schema.date_schema(now_op=when, now_utc_offset=hours * 3600))
        for hours in range(-12, 15)
    ]
    is_taken = any(zone.isinstance_python(day) for zone in zones)
    assert (core_error({"type": "date", "now_op": when}, day) == "") == is_taken


def asked(annotation: Any) -> tuple[str, Any]:
    if annotation is Numbers:
        return "value", question_about(Numbers).model
    return "x", model_of(annotation)


def typed_on_the_page(schema: dict[str, Any], text: str) -> Any:
    taken = take(schema, {"do": ["send"], "/x": [text]})
    return taken.form.fields[0].problem if taken.answer is UNSET else taken.answer


def typed_on_a_terminal(schema: dict[str, Any], text: str) -> Any:
    with typing([text]) as shown:
        try:
            return form_prompts.ask(schema)
        except EOFError:
            return " ".join(shown.getvalue().split())


ONE_LINE = [
    row
    for row in REFUSED
    if row[1][:1] == '"' and row[0] not in {float, Json[list[int]], Strict | int}
]


@pytest.mark.parametrize("door", [typed_on_the_page, typed_on_a_terminal])
@pytest.mark.parametrize(("annotation", "value", "words"), ONE_LINE, ids=id_of)
def test_a_line_that_cannot_fit_is_refused_where_it_is_typed(
    annotation: Any, value: str, words: str, door: Any
) -> None:
    """On the page and on a terminal, in words."""
    found = door(form_of(model_of(annotation)), json.loads(value))
    assert isinstance(found, str)
    if annotation is not PRICE and "Secret" not in str(annotation):
        assert words.split(", and is", maxsplit=1)[0] in found


MEANT = {
    "1,5": "write 1.5",
    "1,234": "write 1.234 or 1234",
    "1,234.5": "write 1234.5",
    "1.234,5": "write 1234.5",
    "1,234,567": "write 1234567",
}


EXPONENTS = ["1e3"] if version_short() != "2.13" else []
"""As the pattern of a `Decimal` takes them, from pydantic 2.14 on."""


@pytest.mark.parametrize("door", [typed_on_the_page, typed_on_a_terminal])
@pytest.mark.parametrize("annotation", [float, Decimal, float | None])
@pytest.mark.parametrize(("text", "words"), MEANT.items())
def test_a_comma_is_asked_about(annotation: Any, text: str, words: str, door: Any) -> None:
    """`1,5` is not 15; what may be two numbers names both."""
    assert words in door(form_of(model_of(annotation)), text)


@pytest.mark.parametrize("door", [typed_on_the_page, typed_on_a_terminal])
@pytest.mark.parametrize("text", [LONG, "0.10", "12.50", "-0.0", *EXPONENTS])
@pytest.mark.parametrize("annotation", [Decimal, Decimal | None, Decimal | date])
def test_a_typed_decimal_keeps_its_digits(annotation: Any, text: str, door: Any) -> None:
    """Trailing zeros included."""
    model = model_of(annotation)
    answer = door(form_of(model), text)
    assert repr(model.decode(json.dumps(answer).encode()).x) == repr(Decimal(text))


def itself(found: Any) -> Any:
    """Read a value in a way of its own."""
    return found


def split(found: Any) -> Any:
    """Read a list, or names with commas between them."""
    return found.split(",") if isinstance(found, str) else found


OWN_WAYS = [
    (PARSED, "3 guests", 3),
    (PARSED, "3", 3),
    (PARSED | None, "3 guests", 3),
    (Annotated[list[str], BeforeValidator(split)], "a,b", ["a", "b"]),
    (Annotated[list[str], BeforeValidator(split)], '["a", "b"]', ["a", "b"]),
    (Annotated[Decimal, BeforeValidator(itself)], "0.10", Decimal("0.10")),
    (Annotated[bool, BeforeValidator(lambda found: found == "sure")], "sure", True),
    (
        Annotated[date, BeforeValidator(lambda found: date(2026, 1, 2))],
        "next year",
        date(2026, 1, 2),
    ),
]


@pytest.mark.parametrize("door", [typed_on_the_page, typed_on_a_terminal])
@pytest.mark.parametrize(("annotation", "text", "expected"), OWN_WAYS, ids=id_of)
def test_what_only_the_flow_can_read_is_typed_freely(
    annotation: Any, text: str, expected: Any, door: Any
) -> None:
    """JSON where it is JSON, else a text: as it is taken elsewhere."""
    model = model_of(annotation)
    answer = door(form_of(model), text)
    assert repr(model.decode(json.dumps(answer).encode()).x) == repr(expected)


@pytest.mark.parametrize("default", ["3", "3 guests", 3, [1], "[", "null"])
def test_a_default_that_only_the_flow_can_read_comes_back_as_it_is(default: Any) -> None:
    """A text stays a text, and a number a number."""
    schema = {"properties": {"x": {"x-own": 1, "default": default}}, "x-form": 1}
    part = SchemaReader(schema).part(schema["properties"]["x"])
    assert read_value(part, write_value(part, default)) == default


def test_a_key_that_is_typed_twice_is_refused() -> None:
    """On the page and on a terminal; on a terminal it can be typed again."""
    schema = form_of(model_of(dict[int, str]))
    posted = {"/x#item": ["", "0", "1"], "/x/0": ["a"], "/x/1": ["b"]}
    for key, words in (("1", "1 is there twice"), ("01", "its keys 1 and 01 are the same")):
        keys = {"/x/0#key": ["1"], "/x/1#key": [key]}
        taken = take(schema, {"do": ["send"], **posted, **keys})
        assert taken.answer is UNSET
        assert words in {each.problem for each in taken.form.root.walk()}
    with typing(["1=a", "1=b", "2=c", ""]) as shown:
        assert form_prompts.ask(schema) == {"x": {"1": "a", "2": "c"}}
    assert "1 is there twice" in shown.getvalue()


@pytest.mark.parametrize("way", [by_api, by_input, by_the_json_box])
def test_a_long_value_is_told_short(way: Any) -> None:
    """A refusal says what it is about, and not all of it."""
    schema = form_of(model_of(Annotated[str, Field(pattern="^a+$")]))
    shown = "b" * 38
    _, error = way(schema, "x", f'"{shown}"')
    assert f'and is "{shown}"' in error
    _, error = way(schema, "x", f'"{shown}bb"')
    assert f'and is "{shown}…' in error
    assert shown + "b" not in error


@pytest.mark.parametrize("annotation", [SecretInt, list[SecretStr], SecretStr])
def test_a_secret_is_typed_unseen_on_a_terminal(
    annotation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is made of, and each of a list."""
    unseen: list[str] = []

    def take_unseen(prompt: str) -> str:
        unseen.append(prompt)
        return "7" if len(unseen) == 1 else ""

    monkeypatch.setattr("runbus.cli.prompt.getpass", take_unseen)
    is_list = annotation == list[SecretStr]
    with typing(["y", "n", "n"] if is_list else []):
        answer = form_prompts.ask(form_of(model_of(annotation)))
    assert unseen
    assert json.dumps(answer) in {'{"x": 7}', '{"x": "7"}', '{"x": ["7"]}'}
