"""Flow run ids: UUIDs in one spelling."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from runbus.errors import InvalidRunId

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENGINES = UUID("6f0d4c52-3a08-5c0e-9d53-5b1d4e9a7c11")


def parse_run_id(value: UUID | str) -> UUID:
    """Return the id as a `UUID`; any spelling of its text will do. Raises `InvalidRunId`."""
    if isinstance(value, UUID):
        return value
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidRunId(value)
    return _parse_text(value)


@lru_cache(maxsize=4096)
def _parse_text(text: str) -> UUID:
    digits = text.lower().removeprefix("urn:uuid:").strip("{}").replace("-", "")
    # `UUID` alone would take what `int` takes: signs, underscores, spaces, digits of any script.
    if not re.fullmatch("[0-9a-f]{32}", digits):
        raise InvalidRunId(text)
    return UUID(digits)


def text_of(flow_run_id: UUID) -> str:
    """Return the text of an id, as `str` does, which takes several times as long."""
    return _text_of(flow_run_id.int)


@lru_cache(maxsize=4096)
def _text_of(number: int) -> str:
    return str(UUID(int=number))


def read_run_id(data: bytes) -> UUID | None:
    """Read an id as it is stored; None for what is none."""
    if not data:
        return None
    try:
        return _parse_text(data.decode())
    except ValueError:  # `InvalidRunId` is one
        return None


def read_run_ids(members: Iterable[bytes]) -> list[UUID]:
    """Read the ids in an index. What somebody else put there is passed over."""
    return [run_id for member in members if (run_id := read_run_id(member)) is not None]


def flow_run_id_for(engine: str, text: str) -> UUID:
    """Make the run id for a run of another engine, whose own id is `text`.

    The same engine and text always give the same id (a version-5 UUID), so both ends of a
    conversation can compute it.
    """
    if not engine or not text:
        raise InvalidRunId(text or engine)
    return uuid5(uuid5(_ENGINES, engine), str(text))
