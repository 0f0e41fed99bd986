"""`runbus events`: every change of a run's state, as it happens."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.text import Text

from runbus import get_client
from runbus.cli import output, times
from runbus.cli.exits import DONE, WrongCall
from runbus.errors import RunMissing
from runbus.protocol.printed import one_line

if TYPE_CHECKING:
    from uuid import UUID

    from runbus.protocol.event import Event


async def events(
    *,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], help="Print them as they come, until Ctrl-C.")
    ] = False,
    json: Annotated[
        bool, Parameter(name="--json", help="Print a line of JSON for each, for programs.")
    ] = False,
) -> int:
    """Print each change of a run's state, from now on, and where some may have been missed."""
    if not follow:
        raise WrongCall("events are not listed, they are followed: runbus events --follow")
    names: dict[UUID, str] = {}
    async for event in get_client().follow_events():
        if json:
            output.json_line(event)
        elif event.flow_run_id is None:
            output.note(f"{times.clock(event.time)}  events may have been missed: look again")
        else:
            _show(event, event.flow_run_id, await _name(event.flow_run_id, names))
    return DONE


async def _name(run_id: UUID, known: dict[UUID, str]) -> str:
    if run_id not in known:
        with suppress(RunMissing):  # its keys have just expired
            known[run_id] = (await get_client().read_flow_run(run_id)).name
    return known.get(run_id, "")


def _show(event: Event, run_id: UUID, name: str) -> None:
    shown = Text(f"{times.clock(event.time)}  {str(run_id)[:8]}  ", "dim")
    shown.append(f"{one_line(name)}  ", "not dim").append_text(output.state(event.state))
    output.record(plain=[times.exact(event.time), str(run_id), name, event.state], shown=shown)
