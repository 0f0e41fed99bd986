"""The check of a part by itself: of one line on a terminal, of one field or branch on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from runbus.forms import catalogue
from runbus.forms.answers import validation_errors
from runbus.forms.parts import Union
from runbus.forms.references import fields_of, resolve, standalone
from runbus.forms.schema import closest_schema
from runbus.forms.validator import fits
from runbus.forms.values import json_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbus.forms.parts import Branch, Part, Schema
    from runbus.protocol.json_value import JSONValue


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
        return self.schema_errors(closest_schema(part, value), value)

    def schema_errors(self, schema: Schema, value: object) -> dict[str, str]:
        """Check a value by a schema within the form. Raises `TooMuchToCheck`."""
        return validation_errors(self._whole(schema), value)

    def is_kept_by_json(self, part: Part, default: object) -> bool:
        """Tell whether the JSON of a default says what it is: else it is the flow's to fill in.

        One of several kinds may be read as another one, and what does not fit is refused.
        """
        return not isinstance(part, Union) and not self.errors(part, default)

    def closest(self, branches: Sequence[Branch], value: object) -> int:
        """Return which branch a value is of: that which it fits, and which knows most of its keys.

        The first of several, and of none that it fits. Raises `TooMuchToCheck`.
        """
        best, most = 0, (-1, False)
        for number, branch in enumerate(branches):
            # 100.0 fits a whole number, and is read as a float where there is one.
            kind = resolve(self._root, branch.schema).get("type")
            is_own = not (isinstance(value, float) and kind == "integer")
            rank = (self._known_keys(branch.schema, value), is_own)
            if rank > most and fits(self._whole(branch.schema), value):
                best, most = number, rank
        return best

    def _known_keys(self, schema: Schema, value: object) -> int:
        names = fields_of(resolve(self._root, schema).get("properties"))
        return len(names.keys() & fields_of(cast("JSONValue", value)).keys())

    def _whole(self, schema: Schema) -> Schema:
        whole = standalone(self._root, schema)
        if self._left is not None:
            self._left -= len(json_text(whole))
            if self._left < 0:
                raise TooMuchToCheck(catalogue.TOO_MUCH)
        return whole
