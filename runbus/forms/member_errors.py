"""Errors of members: of what pydantic says of all members of a union, that of the one meant.

Where no member takes a value, pydantic tells of all of them. Was the value judged at the door, it
fits one of them, and a validator of the user's own has refused it: what pydantic itself finds wrong
is of another member.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbus.forms.answers import MOST_PARTS_BYTES
from runbus.forms.part_checker import PartChecker, TooMuchToCheck
from runbus.forms.parts import List, Map, Object, Tuple, Union
from runbus.forms.references import fields_of, items_of
from runbus.forms.schema import SchemaReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails

    from runbus.forms.parts import Part, Schema
    from runbus.protocol.json_value import JSONValue

Errors = list["ErrorDetails"]
_OWN = {"assertion_error", "value_error"}
_KEY = "[key]"
"""How pydantic tells that an error is of a dict's key."""


def is_own(error: ErrorDetails) -> bool:
    """Tell whether an error is of a validator of the user's own; pydantic has pages about its."""
    return error["type"] in _OWN or "url" not in error


class MeantMembers:
    """Which members of the unions of a form an answer is of."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._reader = SchemaReader(root)
        self._checker = PartChecker(root, MOST_PARTS_BYTES)

    def errors(self, found: Errors, answer: JSONValue) -> Errors:
        """Return the errors that are of no other members."""
        return self._within(found, self._root, answer, 0)

    def _within(self, found: Errors, schema: object, value: JSONValue, depth: int) -> Errors:
        """Return those of the errors of a value; `depth` steps lead to it."""
        part = self._reader.part(schema)
        kept: Errors = []
        members: dict[str | int, Errors] = {}
        for step, errors in _by_step(found, depth).items():
            if step is None or _is_missing(errors, depth):
                kept += errors
            elif (inner := _step_into(value, step)) is not None:
                kept += self._within(errors, _schema_at(part, step), inner[0], depth + 1)
            else:
                members[step] = errors
        if members:
            errors, schema = self._meant(list(members.values()), part, value)
            kept += self._within(errors, schema, value, depth + 1)
        return kept

    def _meant(
        self, members: Sequence[Errors], part: Part, value: JSONValue
    ) -> tuple[Errors, Schema]:
        """Return the errors of the member that fits best, and its schema."""
        wrong = [sum(not is_own(each) for each in errors) for errors in members]
        best = [number for number, count in enumerate(wrong) if count == min(wrong)]
        if not isinstance(part, Union):
            return members[best[0]], part.schema
        if len(members) != len(part.branches):
            number = self._closest(part, range(len(part.branches)), value)
            return members[best[0]], part.branches[number].schema
        number = self._closest(part, best, value)
        return members[number], part.branches[number].schema

    def _closest(self, part: Union, numbers: Sequence[int], value: JSONValue) -> int:
        try:
            return numbers[self._checker.closest([part.branches[each] for each in numbers], value)]
        except TooMuchToCheck:
            return numbers[0]


def _by_step(found: Errors, depth: int) -> dict[str | int | None, Errors]:
    steps: dict[str | int | None, Errors] = {}
    for each in found:
        step = each["loc"][depth] if depth < len(each["loc"]) else None
        # Of a key, an error ends where its value is.
        steps.setdefault(None if step == _KEY else step, []).append(each)
    return steps


def _is_missing(errors: Errors, depth: int) -> bool:
    # A field that is not there: no member is called so.
    return all(each["type"] == "missing" and len(each["loc"]) == depth + 1 for each in errors)


def _step_into(value: JSONValue, step: str | int) -> tuple[JSONValue] | None:
    fields, items = fields_of(value), items_of(value)
    if str(step) in fields:
        return (fields[str(step)],)
    return (items[step],) if isinstance(step, int) and step < len(items) else None


def _schema_at(part: Part, step: str | int) -> Any:
    match part:
        case Object():
            return part.properties.get(str(step))
        case Map():
            return part.values
        case List():
            return part.items
        case Tuple() if isinstance(step, int) and step < len(part.items):
            return part.items[step]
        case _:
            return None
