"""A filter of runs: which of them a list shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from runbus.errors import InvalidArgument
from runbus.protocol.states import FINAL, TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

_DASHES_AFTER = (8, 12, 16, 20)
_SMALLEST, _LARGEST = "-inf", "+inf"


class FilterArguments(TypedDict):
    """What the script that lists a tag's runs compares them with; '' leaves it open."""

    states: str
    """Their names between commas, also before the first and after the last."""
    flow: str
    deployment: str
    parent: str
    text: str
    text_id: str
    """How an id begins whose digits `text` may be."""
    name: str
    name_id: str
    """How an id begins whose digits `name` may be."""


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """What the runs of a list have in common; None and empty leave it open."""

    states: tuple[str, ...] = ()
    flow_name: str | None = None
    deployment_id: str | None = None
    parent_run_id: UUID | None = None
    text: str | None = None
    """Part of the name of the run or of its flow, or the beginning of its id."""
    called: str | None = None
    """The name of the run, or the beginning of its id."""
    created_after: datetime | None = None
    created_before: datetime | None = None

    @property
    def wants_all(self) -> bool:
        """Whether every run of the time that is asked for is in the list."""
        return not any(self.arguments().values())

    @property
    def is_of_active(self) -> bool:
        """Whether only runs are asked for that have not ended."""
        return bool(self.states) and not any(TYPES[state] in FINAL for state in self.states)

    @property
    def wants_states_of_active(self) -> bool:
        """Whether only runs are asked for that have not ended, by nothing but their states."""
        return self.is_of_active and not any({**self.arguments(), "states": ""}.values())

    def scores(self) -> tuple[str, str]:
        """Return the first and last time of creation (ms), as the index counts it."""
        after, before = _milliseconds(self.created_after), _milliseconds(self.created_before)
        return after or _SMALLEST, before or _LARGEST

    def arguments(self) -> FilterArguments:
        """Return what the script that lists a tag's runs compares them with."""
        text, called = _lower(self.text), self.called or ""
        return {
            "states": f",{','.join(self.states)}," if self.states else "",
            "flow": self.flow_name or "",
            "deployment": self.deployment_id or "",
            "parent": "" if self.parent_run_id is None else str(self.parent_run_id),
            "text": text,
            "text_id": _as_id(text),
            "name": called,
            "name_id": _as_id(_lower(called)),
        }


def state_names(state: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return the names of states as they are spelled. Raises `InvalidArgument`."""
    names = () if state is None else (state,) if isinstance(state, str) else tuple(state)
    for name in names:
        if not isinstance(name, str) or name.capitalize() not in TYPES:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument("state", name, f"the states are {', '.join(TYPES)}")
    return tuple(name.capitalize() for name in names)


def _milliseconds(time: datetime | None) -> str:
    return "" if time is None else str(int(time.timestamp() * 1000))


def _lower(text: str | None) -> str:
    # As Lua does it: other letters than A to Z stay as they are.
    return (text or "").encode(errors="replace").lower().decode()


def _as_id(text: str) -> str:
    """Return what an id that begins with these digits looks like; '' if none does."""
    digits = text.replace("-", "")
    if not digits or set(digits) - set("0123456789abcdef"):
        return ""
    return "".join(f"-{each}" if at in _DASHES_AFTER else each for at, each in enumerate(digits))
