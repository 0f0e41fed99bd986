"""An event: a run has changed its state, or changes were missed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from runbus.protocol.entries import fields_by_name, time_of
from runbus.protocol.ids import read_run_id

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class Event:
    """One change of one run's state, or word that some were missed."""

    time: datetime
    flow_run_id: UUID | None
    """The run; None of a `resync`, which concerns any."""
    state: str
    """The name of the state that the run is in now; empty of a `resync`."""
    kind: Literal["state", "resync"] = "state"
    """`resync`: changes may have been missed, or taken back by a failover: read the runs again."""


def read_event(entry_id: bytes, fields: list[bytes]) -> Event | None:
    """Read an event; None for what somebody else put there."""
    found = fields_by_name(fields)
    run_id = read_run_id(found.get("run", "").encode())
    if run_id is None or "state" not in found:
        return None
    return Event(time=time_of(entry_id), flow_run_id=run_id, state=found["state"])
