"""Values: what a person typed for a part of a form, as the JSON that the flow is sent, and back.

Whole numbers of any length stay what they are. A number that may be a text is a JSON number where
that loses none of its digits, trailing zeros included, and else the text.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from runbus.forms import catalogue
from runbus.forms.core_types import NOT_FINITE, OWN, is_decimal, is_float
from runbus.forms.parts import UNSET, Boolean, Choice, Constant, Json, Nothing, Number, Text, Union

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.forms.parts import Part
    from runbus.protocol.json_value import JSONValue

LONGEST_NUMBER = 400
"""Characters; with more, and beyond what a float has, it is no number that somebody means."""
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_YES = {"y", "yes", "true", "t", "1", "on"}
_NO = {"n", "no", "false", "f", "0", "off"}
_BEGINS_JSON = {"{", "[", '"'}
_GROUPS = re.compile(r"[+-]?\d{1,3}([,.]\d{3})+", re.ASCII)


class Mistyped(ValueError):
    """What was typed is not what was asked for; the text says why, as of something: "it is …"."""


def read_value(part: Part, text: str) -> JSONValue:
    """Read what was typed for a part. Raises `Mistyped`.

    What it reads may still not fit the form: that is for the check of the answer to say.
    """
    reader = _READERS.get(type(part))
    return read_json(text) if reader is None else reader(part, text)


def read_boolean(text: str) -> bool:
    """Read yes or no. Raises `Mistyped`."""
    word = text.strip().casefold()
    if word in _YES | _NO:
        return word in _YES
    raise Mistyped(catalogue.YES_OR_NO_WANTED)


def read_json(text: str | bytes) -> JSONValue:
    """Read JSON, whose numbers are finite. Raises `Mistyped`."""
    return _read_json(text, "")


def _read_json(text: str | bytes, otherwise: str) -> JSONValue:
    try:  # half a character is a ValueError
        data = text.encode() if isinstance(text, str) else text
        return from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise Mistyped(otherwise or catalogue.JSON_WANTED.format(why=error)) from None


def _read_number(part: Number, text: str) -> float | str:
    text = text.strip()
    if text in NOT_FINITE and is_float(part.schema):
        return text
    try:
        number = _whole(text) if part.is_whole else _number(text)
    except ValueError:
        raise Mistyped(_not_a_number(part, text)) from None
    if part.is_decimal and not (_has_its_digits(number, text) or keeps_digits(text)):
        return text
    return number


def _has_its_digits(number: float, text: str) -> bool:
    return isinstance(number, int) and (number != 0 or not text.startswith("-"))


def keeps_digits(text: str) -> bool:
    """Tell whether a `Decimal` that is read from the float of a text has all of its digits."""
    return repr(float(text)) == text and not text.endswith(".0")


def _not_a_number(part: Number, text: str) -> str:
    if "," in text and (meant := [each for each in _meant(text) if _fits(part, each)]):
        return catalogue.POINT_WANTED.format(catalogue.OR.join(meant))
    return catalogue.WHOLE_NUMBER_WANTED if part.is_whole else catalogue.NUMBER_WANTED


def _meant(text: str) -> list[str]:
    """Return which numbers a text with commas may mean: `1,234` is two."""
    last = max(text.rfind(","), text.rfind("."))
    whole = re.sub("[,.]", "", text)
    point = re.sub("[,.]", "", text[:last]) + "." + text[last + 1 :]
    if not _GROUPS.fullmatch(text):
        return [point]
    return [point, whole] if text.count(",") + text.count(".") == 1 else [whole]


def _fits(part: Number, text: str) -> bool:
    try:
        _whole(text) if part.is_whole else _number(text)
    except ValueError:
        return False
    return True


def _number(text: str) -> int | float:
    if len(text) > LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        raise ValueError(text)
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return int(text) if _WHOLE.fullmatch(text) else number


def _whole(text: str) -> int:
    if len(text) <= LONGEST_NUMBER and _WHOLE.fullmatch(text):
        return int(text)
    _number(text)
    exact = Decimal(text)  # `3.0` and `1e3` are whole numbers too
    if exact != exact.to_integral_value():
        raise ValueError(text)
    return int(exact)


def _read_option(part: Choice, text: str) -> JSONValue:
    """Find an option by its JSON, else by its label."""
    ways: list[Callable[[str, str, str], bool]] = [
        lambda written, _, typed: written == typed,
        lambda _, shown, typed: shown == typed,
        lambda _, shown, typed: shown.casefold() == typed.casefold(),
    ]
    for fits in ways:
        for option in part.options:
            if fits(option.text, option.label, text.strip()):
                return option.value
    options = ", ".join(each.label for each in part.options)
    raise Mistyped(catalogue.OPTION_WANTED.format(options=options))


def _read_one_of(part: Union | Text, text: str) -> JSONValue:
    # A text that only begins like JSON was meant to be some.
    try:
        found = read_json(text)
        return text.strip() if isinstance(found, float) and _may_be_decimal(part) else found
    except Mistyped:
        if text.lstrip()[:1] in _BEGINS_JSON:
            raise
    return text


def _may_be_decimal(part: Union | Text) -> bool:
    branches = part.branches if isinstance(part, Union) else (part,)
    return any(is_decimal(branch.schema) for branch in branches)


def _read_text(part: Text, text: str) -> JSONValue:
    if OWN in part.schema:
        return _read_one_of(part, text)
    return text.strip() if part.format else text


_READERS: dict[type[Part], Callable[[Any, str], Any]] = {
    Text: _read_text,
    Boolean: lambda _, text: read_boolean(text),
    Number: _read_number,
    Choice: _read_option,
    Constant: lambda part, _: part.value,
    Nothing: lambda _, __: None,
    Union: _read_one_of,
    Json: lambda _, text: _read_json(text, catalogue.JSON_QUOTES),
}


def json_text(value: object) -> str:
    """Write a value as one line of JSON."""
    return to_json(value, inf_nan_mode="strings").decode()


def label(value: object) -> str:
    """Write an option or a default for a person."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json_text(value)


def write_value(part: Part, value: object) -> str:
    """Write a value so that `read_value` reads it again; empty where there is none."""
    if value is UNSET or (value is None and (part.nullable or not isinstance(part, Json))):
        return ""
    if isinstance(value, str) and not isinstance(part, Json | Choice):
        return json_text(value) if OWN in part.schema and _is_like_json(value) else value
    return json_text(value)


def _is_like_json(text: str) -> bool:
    try:
        read_json(text)
    except Mistyped:
        return text.lstrip()[:1] in _BEGINS_JSON
    return True
