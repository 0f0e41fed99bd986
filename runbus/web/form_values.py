"""Answers: what was typed into a form, as the JSON that the flow is sent, and what is wrong.

What cannot be read as its type stays the text that it is: the schema's check refuses it then.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast

from runbus.forms import catalogue
from runbus.forms.defaults import is_same
from runbus.forms.part_checker import PartChecker, TooMuchToCheck
from runbus.forms.parts import UNSET, Constant, Nothing, Number, Part, Schema, Union, only_value
from runbus.forms.references import items_of
from runbus.forms.values import Mistyped, read_value, write_value
from runbus.web.form_fields import MOST_TRIED_BYTES, NOTHING, Field

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbus.protocol.json_value import JSONObject, JSONValue


def answer_of(field: Field) -> JSONValue:
    """Return what a field was filled with; `UNSET` to leave it out."""
    if field.choice == NOTHING:
        return None
    if isinstance(field.part, Constant | Nothing):
        return only_value(field.part)
    if field.kind in _GROUPS:
        return _GROUPS[field.kind](field)
    if _shows_default(field):
        return field.part.default
    return _blank(field) if not field.text.strip() else _read(field)[0]


def leave_out_untouched(field: Field, schema: Schema, answer: JSONValue) -> None:
    """Take out of an answer the defaults within its fields that JSON does not keep."""
    with suppress(TooMuchToCheck):
        _leave_out(field, PartChecker(schema, MOST_TRIED_BYTES), answer)


def _leave_out(field: Field, checker: PartChecker, answer: JSONValue) -> None:
    if isinstance(field.part, Union):
        return  # which kind it is, is known by what is there
    for child in field.children:
        is_untouched = field.path and _is_untouched(child, _at(answer, child.path))
        if is_untouched and not checker.is_kept_by_json(child.part, child.part.default):
            del _at(answer, field.path)[child.path[-1]]
        else:
            _leave_out(child, checker, answer)


def _is_untouched(field: Field, value: object) -> bool:
    part = field.part
    may_be_left_out = not part.required and part.default is not UNSET
    return may_be_left_out and value is not UNSET and is_same(value, part.default)


def problems_in(field: Field, schema: Schema, answer: object) -> dict[str, str]:
    """Return what the form itself sees wrong: dates that are none, JSON that is none, equal keys.

    Where one of several shapes was chosen, the answer is checked against that one: to hear that
    a value fits none of them helps nobody.
    """
    found: dict[str, str] = {}
    checker = PartChecker(schema, MOST_TRIED_BYTES)
    for each in field.walk():
        value = _at(answer, each.path)
        if problem := _own_problem(each):
            found[each.dotted] = problem
        elif twice := _twice(each):
            found[each.dotted] = catalogue.TWICE.format(name=twice)
        elif part := _closer_part(each, value):
            try:
                errors = checker.errors(part, value)
            except TooMuchToCheck:
                break  # the check of the whole answer decides
            for place, words in errors.items():
                found.setdefault(".".join(filter(None, [each.dotted, place])), words)
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


def _object(field: Field) -> JSONValue:
    given = {str(child.path[-1]): answer_of(child) for child in field.children}
    return _unless_empty(field, {key: value for key, value in given.items() if value is not UNSET})


def _list(field: Field) -> JSONValue:
    return _unless_empty(field, [_in_place(child) for child in field.children])


def _branch(field: Field) -> JSONValue:
    return answer_of(field.children[0])


def _map(field: Field) -> JSONValue:
    pairs = [(child.key or "", _in_place(child)) for child in field.children]
    return _unless_empty(field, dict(pairs))


def _unless_empty(field: Field, answer: object) -> JSONValue:
    part = field.part
    if answer or not field.path or part.default == answer:
        return answer
    if part.nullable or part.default is None:
        return None
    return UNSET if not part.required and part.default is UNSET else answer


_GROUPS: dict[str, Callable[[Field], JSONValue]] = {
    "object": _object,
    "list": _list,
    "tuple": _list,
    "map": _map,
    "union": _branch,
}


def _shows_default(field: Field) -> bool:
    """Whether a field shows its default: whatever that is, it stays it."""
    part = field.part
    if part.required or part.default is UNSET or part.default is None:
        return False
    return field.text + field.zone == write_value(part, part.default)


def _in_place(child: Field) -> JSONValue:
    # An item that is left blank is there all the same: the check says what is wrong with it.
    answer = answer_of(child)
    return child.text if answer is UNSET else answer


def _blank(field: Field) -> JSONValue:
    if not field.part.required and field.part.default is UNSET:
        return UNSET
    if field.part.nullable or field.part.default is None:
        return None
    return field.text if field.is_text and not field.part.required else UNSET


def _read(field: Field) -> tuple[JSONValue, str]:
    """Return what was typed, as a value where it can be read, and what is wrong where not."""
    text = field.text.replace("\r\n", "\n")
    if field.zone:
        text = text.strip() + field.zone
    try:
        return read_value(field.part, text), ""
    except Mistyped as error:
        return text, str(error)


def _own_problem(field: Field) -> str:
    if field.key is not None and not field.key:
        return catalogue.KEY_WANTED
    if field.kind in _GROUPS or not field.text.strip() or _shows_default(field):
        return ""
    return _read(field)[1]


def _twice(field: Field) -> str:
    """Return the key that a dict has twice, of which its answer has but one."""
    keys = [child.key for child in field.children if child.key]
    return next((key for key in keys if keys.count(key) > 1), "") if field.kind == "map" else ""


def _closer_part(field: Field, value: object) -> Part | None:
    if value is UNSET or value is None or field.choice == NOTHING or _is_untouched(field, value):
        return None
    if isinstance(field.part, Union):
        return field.children[0].part
    is_bounded = isinstance(field.part, Number) and field.part.is_decimal
    return field.part if is_bounded or field.part.nullable else None


def _at(answer: object, path: tuple[str | int, ...]) -> JSONValue:
    for part in path:
        if isinstance(answer, dict):
            answer = cast("JSONObject", answer).get(str(part), UNSET)
        elif isinstance(part, int) and part < len(items := items_of(answer)):
            answer = items[part]
        else:
            return UNSET
    return answer
