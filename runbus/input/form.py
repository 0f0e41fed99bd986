"""A model's form: what a person sees before anything is filled in, and what they answered."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, create_model

from runbus.errors import NotPaused, UsageError
from runbus.store.bus import current_bus
from runbus.store.records import pauses

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from pydantic.fields import FieldInfo

    from runbus.protocol.json_value import JSONObject
    from runbus.protocol.records import Pause

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a pause shows, and what an answer to it is checked against."""

    schema: JSONObject
    """The JSON Schema of the answer."""
    description: str = ""
    """Markdown, to show above the form."""


class Keyset(dict[str, str]):
    """The names of what one pause stores, each unique in its run.

    They are those of its `description`, `response` and `schema`.
    """

    def __init__(
        self, pause_key: str, flow_run_id: UUID | None = None, answered: Pause | None = None
    ) -> None:
        """`answered` is the pause of a run as it was read after its answer."""
        parts = ("description", "response", "schema")
        super().__init__((part, f"pause-{pause_key}-{part}") for part in parts)
        self.pause_key = pause_key
        self._of_run = flow_run_id, answered

    async def read_answered(self, flow_run_id: UUID) -> Pause:
        """Read the pause of a run that these are the names of. Raises `NotPaused` before that."""
        run_id, pause = self._of_run
        if pause is None or run_id != flow_run_id:
            pause = await pauses.read(current_bus(), flow_run_id, self.pause_key)
        if pause is None or pause.value is None:
            state = f"without an answer to {self.pause_key!r}"
            raise NotPaused(flow_run_id=flow_run_id, state=state)
        return pause


def with_defaults(model: type[M], defaults: Mapping[str, object]) -> type[M]:
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


def _with_default(field: FieldInfo, value: object) -> FieldInfo:
    field = copy(field)
    field.default = value
    field.default_factory = None
    # What was set explicitly is all that survives when the field is collected anew.
    given: dict[str, object] = field._attributes_set  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]
    kept = {name: given[name] for name in given if name != "default_factory"}
    field._attributes_set = {**kept, "default": value}  # pyright: ignore[reportPrivateUsage]
    return field
