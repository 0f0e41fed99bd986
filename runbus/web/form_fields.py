"""Fields: a form as a tree, filled from what was posted, else from values and defaults.

A field's name in the page is a JSON pointer (`/guests/0/name`). Beside it stand `…#item`, one for
each item of a list or dict, in order; `…#key` with a dict's key; `…#kind` with the branch that was
chosen; `…#zone` with a time zone. Items keep their number when others are removed, so names are
not places: `Field.path` is the place in the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from runbus.protocol.answers import problems_of
from runbus.web.patterns import cannot_run_away
from runbus.web.shapes import UNSET, Branch, Kind, Schema, Shape, Shapes, humanise, json_text

if TYPE_CHECKING:
    from collections.abc import Mapping

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
_CONTAINERS = {"object", "list", "tuple", "map", "union"}
_OPTIONAL_AS_A_WHOLE = {"object", "tuple", "union"}
_DATETIME = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)(Z|[+-]\d\d:\d\d)?")
_NATIVE = {
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "time": re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,3})?)?"),
    "datetime": _DATETIME,
}


@dataclass(kw_only=True)
class Field:
    """One field of a form, or a group of them."""

    shape: Shape
    kind: Kind
    name: str
    path: tuple[str, ...]
    label: str
    required: bool
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

    @property
    def id(self) -> str:
        """Its id in the page."""
        return "f" + re.sub(r"[^0-9A-Za-z]", lambda found: f"_{ord(found[0]):x}", self.name)

    @property
    def dotted(self) -> str:
        """Its place in the answer, as `problems_of` names it."""
        return ".".join(self.path)

    @property
    def choices(self) -> list[tuple[str, str]]:
        """What may be chosen here, with labels; empty where there is no choice."""
        nothing = [(NOTHING, "Nothing")] if may_be_nothing(self.shape) else []
        if self.shape.kind == "union":
            branches = enumerate(self.shape.branches)
            return nothing + [(str(number), branch.label) for number, branch in branches]
        return [*nothing, ("0", "Fill in")] if nothing else []

    @property
    def may_be_blank(self) -> bool:
        """Whether a person may leave it blank."""
        if self.kind in _CONTAINERS:
            return may_be_nothing(self.shape) or not self.required
        if self.shape.nullable:
            return True
        is_text = self.kind in {"text", "area", "password"}
        return not self.required and (is_text or self.shape.default is UNSET)

    @property
    def pattern(self) -> str:
        """What a browser may match the text with; empty for what the server decides alone."""
        pattern = self.shape.limits.get("pattern")
        return pattern if isinstance(pattern, str) and cannot_run_away(pattern) else ""

    def walk(self) -> list[Field]:
        """List the field and all within it, in order."""
        return [self, *(inner for child in self.children for inner in child.walk())]


def may_be_nothing(shape: Shape) -> bool:
    """Whether a group of fields may be left out as a whole."""
    return shape.nullable and shape.kind in _OPTIONAL_AS_A_WHOLE


class FormBuilder:
    """Builds the fields of one schema."""

    def __init__(self, schema: Schema, posted: Mapping[str, list[str]] | None = None) -> None:
        self.shapes = Shapes(schema)
        self._posted = posted or {}
        self._left = MOST_FIELDS
        self._choices_left = MOST_CHOICES
        self._bytes_left = MOST_TRIED_BYTES

    def root(self, value: Any = UNSET) -> Field:
        """Build the form; `value` fills what was not posted.

        Raises `ValueError` for more than anybody fills in: a schema that is too large, and one
        whose definitions use each other until they ask for more than there is memory or time.
        """
        if len(json_text(self.shapes.root)) > MOST_SCHEMA_BYTES:
            raise ValueError(f"the schema of a form has at most {MOST_SCHEMA_BYTES} bytes")
        return self._field(self.shapes.root, "", (), "", True, value)

    def _field(
        self,
        schema: Any,
        name: str,
        path: tuple[str, ...],
        label: str,
        required: bool,
        value: Any,
    ) -> Field:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"a form has at most {MOST_FIELDS} fields")
        shape = self.shapes.of(schema)
        self._choices_left -= len(shape.options) + len(shape.branches)
        if self._choices_left < 0:
            raise ValueError(f"the fields of a form have at most {MOST_CHOICES} choices")
        value = shape.default if value is UNSET else value
        made = Field(
            shape=shape,
            kind="json" if len(path) > DEEPEST else shape.kind,
            name=name,
            path=path,
            label=shape.title or label,
            required=required,
        )
        if made.kind in _CONTAINERS:
            self._fill_group(made, value)
        else:
            self._fill(made, value)
        return made

    def _fill(self, made: Field, value: Any) -> None:
        default = _as_text(made.kind, value)
        posted = self._posted.get(made.name)
        made.text = posted[-1] if posted else default
        if made.kind in _NATIVE and made.text and not _NATIVE[made.kind].fullmatch(made.text):
            made.kind = "text"  # the browser's own field would show it as empty
        elif made.kind == "datetime" and (parts := _DATETIME.fullmatch(made.text)):
            made.text, made.zone = parts[1].replace(" ", "T"), parts[2] or ""
        made.zone = self._last(f"{made.name}#zone", made.zone)

    def _fill_group(self, made: Field, value: Any) -> None:
        made.choice = self._choice(made, value)
        if made.choice == NOTHING:
            return
        match made.kind:
            case "object":
                self._fill_object(made, _as_dict(value), {})
            case "tuple":
                self._fill_tuple(made, _as_list(value))
            case "list":
                self._fill_list(made, _as_list(value))
            case "map":
                self._fill_map(made, _as_dict(value))
            case _:
                self._fill_branch(made, value)

    def _fill_object(self, made: Field, value: Schema, skipped: Mapping[str, Any]) -> None:
        made.children = [
            self._field(
                schema,
                f"{made.name}/{_escape(key)}",
                (*made.path, key),
                humanise(key),
                key in made.shape.required,
                value.get(key, UNSET),
            )
            for key, schema in made.shape.properties.items()
            if key not in skipped
        ]

    def _fill_tuple(self, made: Field, value: list[Any]) -> None:
        made.children = [
            self._item(made, schema, str(place), place, (value[place : place + 1] or [UNSET])[0])
            for place, schema in enumerate(made.shape.prefix)
        ]

    def _fill_list(self, made: Field, value: list[Any]) -> None:
        values = dict(enumerate(value))
        fewest: Any = made.shape.limits.get("minItems", 0) if made.required else 0
        least = fewest if isinstance(fewest, int) else 0
        made.items = self._items(made, max(len(values), least))
        made.children = [
            self._item(made, made.shape.items, item, place, values.get(int(item), UNSET))
            for place, item in enumerate(made.items)
        ]

    def _fill_map(self, made: Field, value: Schema) -> None:
        pairs = dict(enumerate(value.items()))
        made.items = self._items(made, len(pairs))
        for item in made.items:
            stored, inner = pairs.get(int(item), ("", UNSET))
            name = f"{made.name}/{item}"
            key = self._last(f"{name}#key", stored)
            child = self._field(made.shape.items, name, (*made.path, key), "Value", True, inner)
            child.key = key
            made.children.append(child)

    def _fill_branch(self, made: Field, value: Any) -> None:
        branch = made.shape.branches[int(made.choice)]
        child = self._field(branch.schema, made.name, made.path, made.label, made.required, value)
        child.children = [each for each in child.children if each.path[-1] not in branch.constants]
        made.children = [child]

    def _item(self, made: Field, schema: Any, item: str, place: int, value: Any) -> Field:
        name, path = f"{made.name}/{item}", (*made.path, str(place))
        return self._field(schema, name, path, f"{place + 1}", True, value)

    def _items(self, made: Field, count: int) -> list[str]:
        posted = self._posted.get(f"{made.name}#item")
        if posted is None:
            return [str(number) for number in range(min(count, MOST_ITEMS))]
        return [item for item in posted[:MOST_ITEMS] if _is_item(item)]

    def _choice(self, made: Field, value: Any) -> str:
        allowed = [number for number, _ in made.choices]
        posted = self._last(f"{made.name}#kind", "")
        if posted in allowed:
            return posted
        if value is None and NOTHING in allowed:
            return NOTHING
        if value is UNSET and NOTHING in allowed and not made.required:
            return NOTHING
        if made.kind != "union":
            return "0"
        return str(self._branch_of(made.shape.branches, value))

    def _branch_of(self, branches: tuple[Branch, ...], value: Any) -> int:
        if value is not UNSET:
            for number, branch in enumerate(branches):
                whole = self.shapes.whole(branch.schema)
                self._bytes_left -= len(json_text(whole))
                if self._bytes_left < 0:
                    raise ValueError("finding the branches of the values takes too long")
                if not problems_of(whole, value):
                    return number
        return 0

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


def _as_text(kind: Kind, value: Any) -> str:
    if value is UNSET or (value is None and kind != "choice"):
        return ""
    if kind == "json":
        return json_text(value)
    if kind == "choice":
        return json_text(value)
    return value if isinstance(value, str) else json_text(value)


def _as_list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _as_dict(value: Any) -> Schema:
    return cast("Schema", value) if isinstance(value, dict) else {}


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1").replace("#", "~2").replace(" ", "~3")
