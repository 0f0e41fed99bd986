"""Secrets in values: pydantic writes stars in their place, which is nothing to send."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, cast

import pydantic

if TYPE_CHECKING:
    from collections.abc import Set

    AnySecret = pydantic.SecretStr | pydantic.SecretBytes | pydantic.Secret[Any]


def secret_in(value: object) -> str | None:
    """Return where in a value a secret is, empty for the value itself; None where there is none."""
    return next((place for place, _ in _places(value, "", set())), None)


def secrets_in(value: object) -> Iterator[AnySecret]:
    """Yield the secrets in a value."""
    return (found for _, found in _places(value, "", set()))


def _places(value: object, place: str, above: Set[int]) -> Iterator[tuple[str, AnySecret]]:
    if isinstance(value, (pydantic.SecretStr, pydantic.SecretBytes, pydantic.Secret)):
        yield place, cast("AnySecret", value)
    elif id(value) not in above:  # a value may contain itself
        for name, each in _parts(value):
            yield from _places(each, f"{place}.{name}" if place else name, {*above, id(value)})


def _parts(value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, pydantic.BaseModel):
        yield from value  # extra fields, too
    elif is_dataclass(value) and not isinstance(value, type):
        yield from ((each.name, getattr(value, each.name, None)) for each in fields(value))
    elif isinstance(value, Mapping):
        for name, each in cast("Mapping[Any, object]", value).items():
            yield str(name), each
    elif isinstance(value, (list, tuple, set, frozenset, deque)):
        # Counted from 1, as people do.
        for number, each in enumerate(cast("Iterable[object]", value), 1):
            yield str(number), each
