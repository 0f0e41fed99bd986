"""Parts: what one place of a form asks for, each kind a record.

What is inside of a part stays a schema until a form comes to it, so that a model that contains
itself has an end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from runbus.protocol.json_value import JSONObject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbus.protocol.json_value import JSONValue

Schema = JSONObject

UNSET: Final[object] = object()
"""No value: a default that is not there, and the answer for a field that is left out."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One value that a form asks for."""

    schema: Schema
    """Where it was read from, without references and without null."""
    title: str = ""
    """That of the field itself, not of the model which a reference leads to."""
    help: str = ""
    required: bool = True
    nullable: bool = False
    """Whether there may be null instead of a value."""
    default: object = UNSET
    examples: tuple[JSONValue, ...] = ()
    read_only: bool = False
    is_secret: bool = False
    """Whether nobody may look over the shoulder; of a list or dict, at its values."""
    limits: Mapping[str, JSONValue] = field(default_factory=JSONObject)
    """What bounds the value, by the schema's own keywords; only those that make sense."""


@dataclass(frozen=True, kw_only=True)
class Text(Part):
    """A text."""

    format: str = ""
    """What the text has to be, such as `date-time`; empty for any."""


@dataclass(frozen=True, kw_only=True)
class Number(Part):
    """A number."""

    is_whole: bool = False
    is_decimal: bool = False
    """Whether it may also be a text, which keeps all of its digits."""


@dataclass(frozen=True, kw_only=True)
class Boolean(Part):
    """Yes or no."""


@dataclass(frozen=True, kw_only=True)
class Constant(Part):
    """The only value that fits: there is nothing to ask."""

    value: object


@dataclass(frozen=True, kw_only=True)
class Option:
    """One value of a choice."""

    value: object
    label: str
    text: str
    """The value's JSON."""


@dataclass(frozen=True, kw_only=True)
class Choice(Part):
    """One of several values."""

    options: tuple[Option, ...]


@dataclass(frozen=True, kw_only=True)
class Object(Part):
    """Fields, by their names."""

    properties: Mapping[str, Schema]
    required_names: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class List(Part):
    """A list of values of one kind."""

    items: Schema


@dataclass(frozen=True, kw_only=True)
class Tuple(Part):
    """A list whose places each have their own kind: a tuple."""

    items: tuple[Schema, ...]


@dataclass(frozen=True, kw_only=True)
class Map(Part):
    """Values of one kind under keys that are typed too: a dict."""

    values: Schema


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One of the kinds that a value may have."""

    label: str
    schema: Schema


@dataclass(frozen=True, kw_only=True)
class Union(Part):
    """A value of one of several kinds."""

    branches: tuple[Branch, ...]


@dataclass(frozen=True, kw_only=True)
class Nothing(Part):
    """Null, and nothing else."""


@dataclass(frozen=True, kw_only=True)
class Json(Part):
    """Any JSON, and what is not understood."""


def only_value(part: Constant | Nothing) -> JSONValue:
    """Return what stands for a part without a question: its default, or all that fits."""
    if not part.required and part.default is not UNSET:
        return part.default
    return part.value if isinstance(part, Constant) else None


Group = Object | List | Tuple | Map | Union
"""What more than one field answers."""


def as_json(part: Part) -> Json:
    """Return what asks for the same value as JSON, in one piece."""
    return Json(
        schema=part.schema,
        title=part.title,
        help=part.help,
        required=part.required,
        nullable=part.nullable,
        default=part.default,
        is_secret=part.is_secret,
    )
