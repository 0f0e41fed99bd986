"""`runbus run`: list runs, look at one, read its log, cancel it."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

from cyclopts import App, Parameter

from runbus import get_client, settings
from runbus.cli import output, times
from runbus.cli.exits import DONE, WrongCall
from runbus.cli.output import Column
from runbus.cli.terminal import is_terminal
from runbus.errors import InvalidArgument
from runbus.protocol.printed import one_line
from runbus.protocol.run_filter import state_names
from runbus.store.maintenance import owners

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from runbus.protocol.records import FlowRun, Waiting

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

PAGE = 200
_LIMIT_HELP = "How many to list at most, 50 by default."


class Page(Protocol[T_co]):
    """Reads one page of a list."""

    async def __call__(self, *, limit: int, offset: int) -> Sequence[T_co]: ...


app = App(name="run", help="Runs: list them, look at one, read its log, cancel it.")


@app.command(name="ls")
async def list_(
    *,
    state: Annotated[
        list[str] | None, Parameter(help="Only in this state, such as Failed; may be repeated.")
    ] = None,
    flow: Annotated[str | None, Parameter(help="Only of this flow.")] = None,
    deployment: Annotated[str | None, Parameter(help="Only of this deployment.")] = None,
    text: Annotated[
        str | None, Parameter(help="Only with this in their name, or their id begins so.")
    ] = None,
    waiting: Annotated[
        bool, Parameter(help="Only those that wait for an answer, the earliest deadline first.")
    ] = False,
    limit: Annotated[int, Parameter(help=_LIMIT_HELP)] = 50,
    offset: Annotated[int, Parameter(help="How many to pass over.")] = 0,
    all: Annotated[bool, Parameter(help="List all, however many.")] = False,  # noqa: A002
    json: output.Json = False,
) -> int:
    """List runs, the newest first."""
    if limit < 1 or offset < 0:
        raise WrongCall("--limit is 1 or more, --offset 0 or more.")
    if waiting:
        if state or flow or deployment or text:
            raise WrongCall("--waiting goes with no other filter.")
        return await _list_waiting(None if all else limit, offset, json=json)
    try:
        states = state_names(state)
    except InvalidArgument as error:
        raise WrongCall(str(error)) from None
    read = partial(
        get_client().read_flow_runs,
        state=states,
        flow_name=flow,
        deployment_id=deployment,
        text=text,
    )
    found = await _pages(read, None if all else limit, offset)
    if json:
        from runbus.redaction import shown_runs  # late: a table shows no parameters

        output.json(await shown_runs(found))
    else:
        output.table(found, _columns(found), empty="There are no such runs.")
        _tell_of_more(len(found), None if all else limit, offset)
    return DONE


async def _list_waiting(limit: int | None, offset: int, *, json: bool) -> int:
    read = partial(get_client().read_waiting, check_owners=True)
    found = await _pages(read, limit, offset)
    if json:
        from runbus.redaction import shown_runs  # late, too

        shown = await shown_runs(each.run for each in found)
        output.json([replace(each, run=run) for each, run in zip(found, shown, strict=True)])
    else:
        output.table(found, _waiting_columns(found), empty="No run waits for an answer.")
        _tell_of_more(len(found), limit, offset)
    return DONE


async def _pages(read: Page[T], limit: int | None, offset: int) -> list[T]:
    """Read page after page; all of them without a limit."""
    found: list[T] = []
    while limit is None or len(found) < limit:
        size = PAGE if limit is None else min(PAGE, limit - len(found))
        page = await read(limit=size, offset=offset + len(found))
        found += page
        if len(page) < size:
            break
    return found


def _tell_of_more(found: int, limit: int | None, offset: int) -> None:
    if limit is not None and found == limit and is_terminal(sys.stdout):
        output.note(f"There may be more: --offset {offset + limit}, or --all.")


def _columns(runs: list[FlowRun]) -> list[Column[FlowRun]]:
    return [
        *_names(runs, lambda run: run),
        Column(
            title="STATE",
            plain=lambda run: run.state.name,
            shown=lambda run: output.state(run.state.name),
        ),
        Column(
            title="SINCE",
            plain=lambda run: times.exact(run.state.timestamp or run.created),
            shown=lambda run: times.relative(run.state.timestamp or run.created),
            style="dim",
        ),
    ]


def _waiting_columns(found: list[Waiting]) -> list[Column[Waiting]]:
    from runbus.forms.title import title_of  # late: other lists show no question

    return [
        *_names([each.run for each in found], lambda each: each.run),
        Column(
            title="DEADLINE",
            plain=lambda each: times.exact(_deadline(each)),
            shown=lambda each: times.relative(_deadline(each)),
            style="yellow",
        ),
        Column(title="QUESTION", plain=lambda each: title_of(each.pause)),
    ]


def _names(runs: Sequence[FlowRun], run_of: Callable[[T], FlowRun]) -> list[Column[T]]:
    length = output.lengths(str(run.id) for run in runs)
    return [
        Column(
            title="ID",
            plain=lambda each: str(run_of(each).id),
            shown=lambda each: str(run_of(each).id)[:length],
            style="dim",
        ),
        Column(title="NAME", plain=lambda each: run_of(each).name),
        Column(
            title="FLOW", plain=lambda each: run_of(each).deployment_id or run_of(each).flow_name
        ),
    ]


def _deadline(waiting: Waiting) -> datetime | None:
    return waiting.pause and waiting.pause.deadline


@app.command(name="show")
async def show_(
    run: output.Run,
    /,
    *,
    lines: Annotated[
        int, Parameter(help="How many of its last log lines to show, 10 by default.")
    ] = 10,
    json: output.Json = False,
) -> int:
    """Show a run: its states, parameters, question and answers, streams, log and children."""
    from runbus.cli import run_page  # late: a list shows no page

    page = await run_page.read(run, lines)
    if json:
        output.json(page)
    else:
        run_page.show_page(page)
    return DONE


@app.command
async def logs(
    run: output.Run,
    /,
    *,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], help="Go on until the run has ended.")
    ] = False,
    json: output.JsonLines = False,
) -> int:
    """Print the log of a run, its oldest line first."""
    from runbus.cli import run_page  # late, too

    client = get_client()
    run_id = (await client.find_flow_run(run)).id
    if json and not follow:
        output.json([line async for line in run_page.stored_lines(run_id)])
        return DONE
    async for line in client.follow_logs(run_id) if follow else run_page.stored_lines(run_id):
        if json:
            output.json_line(line)
        else:
            output.line(run_page.log_line(line))
            sys.stdout.flush()  # whoever follows in a pipe waits for it
    return DONE


@app.command
async def cancel(run: output.Run, /, *, json: output.Json = False) -> int:
    """Ask a run to end: at once where it waits, elsewhere at its next verb or await."""
    client = get_client()
    found = await client.find_flow_run(run)
    await client.cancel_flow_run(found.id)
    now = await client.read_flow_run(found.id)
    is_told = False
    while (await client.check_owners([now])).get(now.id) == owners.UNSURE:
        if not is_told:
            output.note(f"{now.name}: its process says nothing; looking whether it lives …")
        is_told = True
        await asyncio.sleep(settings.current().lease_seconds / 3)
    now = await client.read_flow_run(found.id)
    if json:
        output.json(now)
    else:
        output.line(f"{one_line(now.name)} is {one_line(now.state.name)}.")
    return DONE
