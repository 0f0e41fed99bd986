"""A model's form: what a person sees before anything is filled in, and what they answered."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from pydantic import BaseModel, create_model

from runbus.errors import NotPaused, UsageError
from runbus.store.bus import current_bus
from runbus.store.records import pauses

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from uuid import UUID

    from pydantic.fields import FieldInfo

    from runbus.protocol.records import Pause

M = TypeVar("M", bound=BaseModel)

_at_hand: ContextVar[tuple[UUID, Pause] | None] = ContextVar("runbus_answer", default=None)


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a pause shows, and what an answer to it is checked against."""

    schema: dict[str, Any]
    """The JSON Schema of the answer."""
    description: str = ""
    """Markdown, to show above the form."""


class Keyset(TypedDict):
    """The names of what one pause stores, each unique in its run."""

    description: str
    response: str
    schema: str


def keyset_of(pause_key: str) -> Keyset:
    """Return the names of what the pause of this key stores."""
    names = {part: f"pause-{pause_key}-{part}" for part in ("description", "response", "schema")}
    return Keyset(**names)


@contextmanager
def answer_at_hand(flow_run_id: UUID, pause: Pause | None) -> Generator[None]:
    """Let the code in the block read this pause without asking the server once more."""
    token = _at_hand.set(None if pause is None else (flow_run_id, pause))
    try:
        yield
    finally:
        _at_hand.reset(token)


def find_at_hand(keyset: Keyset, flow_run_id: UUID) -> Pause | None:
    """Return the pause whose answer is named in a keyset, if it is at hand."""
    at_hand = _at_hand.get()
    is_meant = at_hand is not None and (at_hand[0], at_hand[1].key) == (flow_run_id, _key(keyset))
    return at_hand[1] if at_hand is not None and is_meant else None


async def read_answered(keyset: Keyset, flow_run_id: UUID) -> Pause:
    """Read the pause whose answer is named in a keyset. Raises `NotPaused` before that."""
    key, pause = _key(keyset), find_at_hand(keyset, flow_run_id)
    if pause is None:
        pause = await pauses.read(current_bus(), flow_run_id, key)
    if pause is None or pause.value is None:
        raise NotPaused(flow_run_id=flow_run_id, state=f"without an answer to {key!r}")
    return pause


def _key(keyset: Keyset) -> str:
    return keyset["response"].removeprefix("pause-").removesuffix("-response")


def with_defaults(model: type[M], defaults: Mapping[str, Any]) -> type[M]:
    """Return a subclass with other defaults; all else of its fields stays as it is."""
    unknown = sorted(defaults.keys() - model.model_fields.keys())
    if unknown:
        raise UsageError(
            f"{model.__name__} has no field {', '.join(unknown)}; "
            f"its fields are {', '.join(model.model_fields)}."
        )
    fields: dict[str, Any] = {
        name: (model.model_fields[name].annotation, _with_default(model.model_fields[name], value))
        for name, value in defaults.items()
    }
    return create_model(
        model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **fields
    )


def _with_default(field: FieldInfo, value: Any) -> FieldInfo:
    field = copy(field)
    field.default = value
    field.default_factory = None
    # What was set explicitly is all that survives when the field is collected anew.
    given: dict[str, Any] = field._attributes_set  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]
    kept = {name: given[name] for name in given if name != "default_factory"}
    field._attributes_set = {**kept, "default": value}  # pyright: ignore[reportPrivateUsage]
    return field
