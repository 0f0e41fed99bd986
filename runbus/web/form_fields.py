"""Fields: a form as a tree, filled from what was posted, else from values and defaults.

A field's name in the page is a JSON pointer (`/guests/0/name`). Beside it stand `…#item`, one for
each item of a list or dict, in order; `…#key` with a dict's key; `…#kind` with the branch that was
chosen; `…#zone` with a time zone. Items keep their number when others are removed, so names are
not places: `Field.path` is the place in the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runbus.forms.part_checker import PartChecker
from runbus.forms.parts import (
    UNSET,
    Branch,
    Choice,
    Group,
    List,
    Map,
    Object,
    Part,
    Schema,
    Text,
    Tuple,
    Union,
    as_json,
)
from runbus.forms.references import fields_of, items_of
from runbus.forms.schema import SchemaReader
from runbus.forms.values import json_text, write_value
from runbus.web.field_kinds import Kind, kind_of
from runbus.web.patterns import for_browser

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbus.protocol.json_value import JSONValue

Posted = dict[str, list[str]]

DEEPEST = 12
MOST_ITEMS = 1000
MOST_FIELDS = 2000
MOST_CHOICES = 20_000
"""How many options and branches the fields of a form may offer together."""
MOST_SCHEMA_BYTES = 256 * 1024
"""The size of the largest schema that becomes fields; a larger one is answered as JSON."""
MOST_TRIED_BYTES = 4 * 1024 * 1024
"""How many bytes of schemas are compiled to find the branches that values belong to."""
NOTHING = "-"
_ITEM_DIGITS = 10
_DATETIME = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)(Z|[+-]\d\d:\d\d)?")
_NATIVE = {
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "time": re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,3})?)?"),
    "datetime": _DATETIME,
}


@dataclass(kw_only=True)
class Field:
    """One field of a form, or a group of them."""

    part: Part
    kind: Kind
    name: str
    path: tuple[str | int, ...]
    label: str
    text: str = ""
    zone: str = ""
    children: list[Field] = field(default_factory=list["Field"])
    items: list[str] = field(default_factory=list[str])
    """The numbers of a list's or dict's items."""
    choice: str = ""
    """Which branch is chosen, or `NOTHING`."""
    key: str | None = None
    """The key under which a dict holds it."""
    problem: str = ""
    is_left_out: bool = False
    """Whether what was typed is a secret, which has to be typed again."""

    @property
    def id(self) -> str:
        """Its id in the page."""
        return "f" + re.sub(r"[^0-9A-Za-z]", lambda found: f"_{ord(found[0]):x}", self.name)

    @property
    def dotted(self) -> str:
        """Its place in the answer, as `validation_errors` names it."""
        return ".".join(map(written_step, self.path))

    @property
    def choices(self) -> list[tuple[str, str]]:
        """What may be chosen here, with labels; empty where there is no choice."""
        nothing = [(NOTHING, "Nothing")] if may_be_nothing(self.part) else []
        if isinstance(self.part, Union):
            branches = enumerate(self.part.branches)
            return nothing + [(str(number), branch.label) for number, branch in branches]
        return [*nothing, ("0", "Fill in")] if nothing else []

    @property
    def may_be_blank(self) -> bool:
        """Whether a person may leave it blank."""
        if isinstance(self.part, Group):
            return may_be_nothing(self.part) or not self.part.required
        if self.part.nullable:
            return True
        return not self.part.required and (self.is_text or self.part.default is UNSET)

    @property
    def is_text(self) -> bool:
        """Whether an empty text may be meant by a blank field."""
        return isinstance(self.part, Text) and self.kind in {"text", "area", "password"}

    @property
    def keyboard(self) -> str:
        """Which keys a phone shows for a number: those of numbers have no minus."""
        if self.part.limits.get("minimum", -1) < 0:
            return "text"
        return "numeric" if self.kind == "integer" else "decimal"

    @property
    def pattern(self) -> str:
        """What a browser may match the text with; empty for what the server decides alone."""
        engine = str(self.part.schema.get("x-regex", "rust-regex"))
        return for_browser(self.part.limits.get("pattern", ""), engine)

    @property
    def own_error(self) -> str:
        """What the model says of a value that does not fit; empty where it says nothing."""
        words = self.part.schema.get("error")
        return words if isinstance(words, str) else ""

    def walk(self) -> list[Field]:
        """List the field and all within it, in order."""
        return [self, *(inner for child in self.children for inner in child.walk())]


def written_step(step: str | int) -> str:
    """Write a step on the way to a place; people count from 1."""
    return str(step + 1) if isinstance(step, int) else step


def may_be_nothing(part: Part) -> bool:
    """Whether a group of fields may be left out as a whole."""
    is_offered = part.nullable or part.default is None
    return is_offered and isinstance(part, Object | Tuple | Union)


class FormBuilder:
    """Builds the fields of one schema."""

    def __init__(self, schema: Schema, posted: Mapping[str, list[str]] | None = None) -> None:
        self._reader = SchemaReader(schema)
        self._checker = PartChecker(schema, MOST_TRIED_BYTES)
        self._posted = posted or {}
        self._left = MOST_FIELDS
        self._choices_left = MOST_CHOICES

    def root(self, value: object = UNSET) -> Field:
        """Build the form; `value` fills what was not posted.

        Raises `ValueError` for more than anybody fills in: a schema that is too large, and one
        whose definitions use each other until they ask for more than there is memory or time.
        """
        if len(json_text(self._reader.root)) > MOST_SCHEMA_BYTES:
            raise ValueError(f"the schema of a form has at most {MOST_SCHEMA_BYTES} bytes")
        return self._field(self._reader.form(), "", (), value)

    def _field(self, part: Part, name: str, path: tuple[str | int, ...], value: object) -> Field:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"a form has at most {MOST_FIELDS} fields")
        self._choices_left -= _choices(part)
        if self._choices_left < 0:
            raise ValueError(f"the fields of a form have at most {MOST_CHOICES} choices")
        value = part.default if value is UNSET else value
        part = as_json(part) if len(path) > DEEPEST else part
        made = Field(part=part, kind=kind_of(part), name=name, path=path, label=part.title)
        if isinstance(part, Group):
            self._fill_group(made, value)
        else:
            self._fill(made, value)
        return made

    def _fill(self, made: Field, value: object) -> None:
        default = write_value(made.part, value)
        posted = self._posted.get(made.name)
        made.text = posted[-1] if posted else default
        if made.kind in _NATIVE and made.text and not _NATIVE[made.kind].fullmatch(made.text):
            made.kind = "text"  # the browser's own field would show it as empty
        elif made.kind == "datetime" and (parts := _DATETIME.fullmatch(made.text)):
            made.text, made.zone = parts[1].replace(" ", "T"), parts[2] or ""
        made.zone = self._last(f"{made.name}#zone", made.zone)

    def _fill_group(self, made: Field, value: object) -> None:
        made.choice = self._choice(made, value)
        if made.choice == NOTHING:
            return
        match made.part:
            case Object():
                self._fill_object(made, made.part, fields_of(value))
            case Tuple():
                self._fill_tuple(made, made.part, items_of(value))
            case List():
                self._fill_list(made, made.part, items_of(value))
            case Map():
                self._fill_map(made, made.part, fields_of(value))
            case Union():
                self._fill_branch(made, made.part, value)
            case _:
                return

    def _fill_object(self, made: Field, part: Object, value: Schema) -> None:
        made.children = [
            self._field(
                inner, f"{made.name}/{_escape(key)}", (*made.path, key), value.get(key, UNSET)
            )
            for key, inner in self._reader.fields(part)
        ]

    def _fill_tuple(self, made: Field, part: Tuple, value: list[JSONValue]) -> None:
        made.children = [
            self._item(made, schema, str(place), place, (value[place : place + 1] or [UNSET])[0])
            for place, schema in enumerate(part.items)
        ]

    def _fill_list(self, made: Field, part: List, value: list[JSONValue]) -> None:
        values = dict(enumerate(value))
        may_be_empty = part.nullable or not part.required
        least = 0 if may_be_empty else part.limits.get("minItems", 0)
        made.items = self._items(made, max(len(values), least))
        made.children = [
            self._item(made, part.items, item, place, values.get(int(item), UNSET))
            for place, item in enumerate(made.items)
        ]

    def _fill_map(self, made: Field, part: Map, value: Schema) -> None:
        pairs = dict(enumerate(value.items()))
        made.items = self._items(made, len(pairs))
        for item in made.items:
            stored, inner = pairs.get(int(item), ("", UNSET))
            name = f"{made.name}/{item}"
            key = self._last(f"{name}#key", stored)
            child = self._field(
                self._reader.part(part.values, "Value"), name, (*made.path, key), inner
            )
            child.key = key
            made.children.append(child)

    def _fill_branch(self, made: Field, part: Union, value: object) -> None:
        schema = part.branches[int(made.choice)].schema
        inner = self._reader.part(schema, made.label, required=part.required)
        made.children = [self._field(inner, made.name, made.path, value)]

    def _item(self, made: Field, schema: object, item: str, place: int, value: object) -> Field:
        name, path = f"{made.name}/{item}", (*made.path, place)
        return self._field(self._reader.part(schema, f"{place + 1}"), name, path, value)

    def _items(self, made: Field, count: int) -> list[str]:
        posted = self._posted.get(f"{made.name}#item")
        if posted is None:
            return [str(number) for number in range(min(count, MOST_ITEMS))]
        return [item for item in posted[:MOST_ITEMS] if _is_item(item)]

    def _choice(self, made: Field, value: object) -> str:
        allowed = [number for number, _ in made.choices]
        posted = self._last(f"{made.name}#kind", "")
        if posted in allowed:
            return posted
        if value is None and NOTHING in allowed:
            return NOTHING
        if value is UNSET and NOTHING in allowed and not made.part.required:
            return NOTHING
        branches = made.part.branches if isinstance(made.part, Union) else ()
        return str(self._branch_of(branches, value))

    def _branch_of(self, branches: tuple[Branch, ...], value: object) -> int:
        return 0 if value is UNSET else self._checker.closest(branches, value)

    def _last(self, name: str, otherwise: str) -> str:
        return (self._posted.get(name) or [otherwise])[-1]


def change_items(posted: Posted, what: str) -> None:
    """Do what a button of the form says: `add /guests`, `remove /guests 2`."""
    match what.split(" "):
        case ["add", name]:
            items = posted.get(f"{name}#item", [])
            newest = max((int(item) for item in items if _is_item(item)), default=-1)
            posted[f"{name}#item"] = [*items, str(newest + 1)]
        case ["remove", name, item]:
            left = [each for each in posted.get(f"{name}#item", []) if each != item]
            posted[f"{name}#item"] = left
        case _:
            return


def _is_item(text: str) -> bool:
    return text.isdecimal() and len(text) < _ITEM_DIGITS


def _choices(part: Part) -> int:
    match part:
        case Choice():
            return len(part.options)
        case Union():
            return len(part.branches)
        case _:
            return 0


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1").replace("#", "~2").replace(" ", "~3")
