"""The check of a part by itself: of one line on a terminal, of one field or branch on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbus.forms.answers import validation_errors
from runbus.forms.formats import format_error
from runbus.forms.references import standalone
from runbus.forms.schema import closest_schema
from runbus.forms.values import json_text

if TYPE_CHECKING:
    from runbus.forms.parts import Part, Schema


class TooMuchToCheck(ValueError):
    """Checking the parts by themselves would take too long: the whole answer is checked alone."""


class PartChecker:
    """Checks parts of one form; together they may be so many bytes of JSON Schema."""

    def __init__(self, root: Schema, most_bytes: int | None = None) -> None:
        self._root = root
        self._left = most_bytes

    def errors(self, part: Part, value: object) -> dict[str, str]:
        """Return what is wrong with a value, by its place in it. Raises `TooMuchToCheck`."""
        if value is None and part.nullable:
            return {}
        if found := self.schema_errors(closest_schema(part, value), value):
            return found
        error = format_error(part, value)
        return {"": error} if error else {}

    def schema_errors(self, schema: Schema, value: object) -> dict[str, str]:
        """Check a value by a schema within the form. Raises `TooMuchToCheck`."""
        whole = standalone(self._root, schema)
        if self._left is not None:
            self._left -= len(json_text(whole))
            if self._left < 0:
                raise TooMuchToCheck("to check the parts of the answer takes too long")
        return validation_errors(whole, value)
