"""Answers: what was typed into a form, as the JSON that the flow is sent, and what is wrong.

What cannot be read as its type stays the text that it is: the schema's check refuses it then.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from runbus.protocol.answers import problems_of
from runbus.web.form_fields import MOST_TRIED_BYTES, NOTHING, Field
from runbus.web.shapes import UNSET, Schema, json_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.web.shapes import Shapes

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_LONGEST_NUMBER = 400
_FORMATS: dict[str, tuple[TypeAdapter[Any], str]] = {
    "date": (TypeAdapter(date), "it is not a date, such as 2026-11-25"),
    "date-time": (TypeAdapter(datetime), "it is not a date and time, such as 2026-11-25T19:00"),
    "time": (TypeAdapter(time), "it is not a time of day, such as 19:00"),
    "uuid": (TypeAdapter(UUID), "it is not a UUID"),
}


def answer_of(field: Field) -> Any:
    """Return what a field was filled with; `UNSET` to leave it out."""
    if field.choice == NOTHING or field.kind == "nothing":
        return None
    if field.kind == "constant":
        return field.shape.default
    if field.kind in _GROUPS:
        return _GROUPS[field.kind](field)
    return _blank(field) if field.text.strip() == "" else _read(field)


def problems_in(field: Field, shapes: Shapes, answer: Any) -> dict[str, str]:
    """Return what the form itself sees wrong: dates that are none, JSON that is none, equal keys.

    Where one of several shapes was chosen, the answer is checked against that one: to hear that
    a value fits none of them helps nobody.
    """
    found: dict[str, str] = {}
    left = MOST_TRIED_BYTES
    for each in field.walk():
        value = _at(answer, each.path)
        part = _closer_schema(each, value)
        if problem := _own_problem(each):
            found[each.dotted] = problem
        elif part is not None:
            whole = shapes.whole(part)
            left -= len(json_text(whole))
            if left < 0:
                break  # the check of the whole answer decides
            for place, words in problems_of(whole, value).items():
                found.setdefault(".".join([*each.path, place] if place else each.path), words)
    return found


def place_problems(field: Field, problems: dict[str, str]) -> list[str]:
    """Write each problem beside its field; return those that belong to none."""
    fields = {each.dotted: each for each in field.walk() if each.path}
    left: list[str] = []
    for place, words in problems.items():
        if any(other.startswith(place + ".") for other in problems if place):
            continue  # what is said within says more
        if place in fields:
            fields[place].problem = words
        else:
            left.append(f"{place}: {words}" if place else words)
    return left


def _object(field: Field) -> Any:
    given = {child.path[-1]: answer_of(child) for child in field.children}
    return _unless_empty(field, {key: value for key, value in given.items() if value is not UNSET})


def _list(field: Field) -> Any:
    return _unless_empty(field, [_in_place(child) for child in field.children])


def _branch(field: Field) -> Any:
    branch = field.shape.branches[int(field.choice)]
    answer = answer_of(field.children[0])
    is_object = isinstance(answer, dict) and branch.constants
    answer = cast("Any", answer)
    return {**branch.constants, **answer} if is_object else answer


def _map(field: Field) -> Any:
    pairs = [(child.key or "", _in_place(child)) for child in field.children]
    return _unless_empty(field, dict(pairs))


def _unless_empty(field: Field, answer: Any) -> Any:
    if answer or field.required or not field.path:
        return answer
    if field.shape.nullable:
        return None
    return UNSET if field.shape.default is UNSET else answer


_GROUPS: dict[str, Callable[[Field], Any]] = {
    "object": _object,
    "list": _list,
    "tuple": _list,
    "map": _map,
    "union": _branch,
}


def _in_place(child: Field) -> Any:
    # An item that is left blank is there all the same: the check says what is wrong with it.
    answer = answer_of(child)
    return child.text if answer is UNSET else answer


def _blank(field: Field) -> Any:
    if not field.required and field.shape.default is UNSET:
        return UNSET
    if field.shape.nullable:
        return None
    is_text = field.kind in {"text", "area", "password"}
    return field.text if is_text and not field.required else UNSET


def _read(field: Field) -> Any:
    text = field.text.strip()
    if field.kind == "choice":
        return next((each.value for each in field.shape.options if each.text == text), text)
    if field.kind == "datetime":
        return text + field.zone
    read = _READERS.get(field.kind)
    return read(text) if read else field.text.replace("\r\n", "\n")


def _integer(text: str) -> Any:
    return int(text) if re.fullmatch(r"[+-]?\d{1,400}", text, re.ASCII) else _number(text)


def _number(text: str) -> Any:
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return text
    number = float(text)
    return number if math.isfinite(number) else text


def _decimal(text: str) -> Any:
    number = _number(text)
    # A number where it loses nothing: only numbers are checked against bounds.
    is_exact = isinstance(number, float) and Decimal(repr(number)) == Decimal(text)
    return number if is_exact else text


def _json(text: str) -> Any:
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        return text


_READERS: dict[str, Callable[[str], Any]] = {
    "integer": _integer,
    "number": _number,
    "decimal": _decimal,
    "boolean": lambda text: {"true": True, "false": False}.get(text, text),
    "json": _json,
}


def _own_problem(field: Field) -> str:
    text = field.text.strip()
    if field.key is not None and not field.key:
        return "it needs a key"
    if not text:
        return ""
    if field.kind == "json" and _json(text) == text:
        return 'it is not JSON: texts stand in double quotes, such as "yes"'
    if field.kind == "decimal" and isinstance(_number(text), str):
        return "it is not a number"
    return _format_problem(str(field.shape.limits.get("format")), text + field.zone)


def _format_problem(name: str, text: str) -> str:
    adapter, words = _FORMATS.get(name, (None, ""))
    if adapter is None or not text:
        return ""
    try:
        adapter.validate_python(text)
    except ValidationError:
        return words
    return ""


def _closer_schema(field: Field, value: Any) -> Schema | None:
    if value is UNSET or value is None or field.choice == NOTHING:
        return None
    if field.kind == "union":
        return field.children[0].shape.schema
    if field.kind == "decimal" and isinstance(value, (int, float)):
        return {"type": "number", **field.shape.limits}
    return field.shape.schema if field.shape.nullable else None


def _at(answer: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        if isinstance(answer, dict):
            answer = cast("dict[str, Any]", answer).get(part, UNSET)
        elif isinstance(answer, list) and part.isdecimal() and int(part) < len(cast("Any", answer)):
            answer = cast("list[Any]", answer)[int(part)]
        else:
            return UNSET
    return answer
