"""A model's form: what a person sees before anything is filled in."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, create_model

from runbus.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

M = TypeVar("M", bound=BaseModel)


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
