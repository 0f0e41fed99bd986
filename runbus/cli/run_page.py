"""All that can be known of one run, read at once and shown in sections."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from runbus import get_client
from runbus.cli import output, times
from runbus.cli.terminal import is_terminal
from runbus.forms import parts
from runbus.forms.answers import in_one_line
from runbus.forms.references import fields_of
from runbus.forms.schema import SchemaReader
from runbus.forms.wording import hint
from runbus.protocol.printed import one_line, readable
from runbus.protocol.problems import by_place
from runbus.protocol.values import read_json
from runbus.redaction import shown_pause, shown_run, shown_runs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from runbus.protocol.json_value import JSONValue
    from runbus.protocol.log_line import LogLine
    from runbus.protocol.records import FlowRun, Pause, StateChange
    from runbus.protocol.stored_input import StreamInfo

LARGEST_PAGE = 1000
_LEVELS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red", "DEBUG": "dim"}


@dataclass(frozen=True, kw_only=True)
class Page:
    """A run and what belongs to it."""

    run: FlowRun
    pause: Pause | None
    """The one that it waits in."""
    history: list[StateChange]
    pauses: list[Pause]
    """All of them, the pending one too."""
    streams: list[StreamInfo]
    children: list[FlowRun]
    log: list[LogLine]
    """The end of its log."""


async def read(text: str, lines: int) -> Page:
    """Read a run and what belongs to it; of its log, the last `lines`."""
    client = get_client()
    run = await client.find_flow_run(text)
    if (await client.check_owners([run])).get(run.id) == "TAKEN":
        run = await client.read_flow_run(run.id)
    history, pauses, streams, children, log = await asyncio.gather(
        client.read_history(run.id),
        client.read_pauses(run.id),
        client.read_streams(run.id),
        client.read_flow_runs(parent_run_id=run.id),
        _last_lines(run.id, lines),
    )
    pending = [each for each in pauses if each.state == "pending" and each.key == run.pause]
    return Page(
        run=await shown_run(run),
        pause=pending[0] if pending else None,
        history=history,
        pauses=[shown_pause(each) for each in pauses],
        streams=streams,
        children=await shown_runs(children),
        log=log,
    )


async def stored_lines(run_id: UUID) -> AsyncIterator[LogLine]:
    """Yield the lines of a run's log as they are now."""
    after = None
    while page := await get_client().read_logs(run_id, after=after, limit=LARGEST_PAGE):
        for line in page:
            yield line
        after = page[-1].id


async def _last_lines(run_id: UUID, count: int) -> list[LogLine]:
    kept: deque[LogLine] = deque(maxlen=min(max(0, count), sys.maxsize))
    async for line in stored_lines(run_id):
        kept.append(line)
    return list(kept)


def log_line(line: LogLine) -> Text:
    """Return a log line for people, with the time of this machine's zone."""
    if not is_terminal(sys.stdout):
        return Text("\t".join([times.exact(line.time), *map(one_line, (line.level, line.message))]))
    text = Text(f"{times.clock(line.time)} ", "dim")
    text.append(f"{one_line(line.level):<8}", _LEVELS.get(line.level, "not dim"))
    return text.append(" " + readable(line.message), "not dim")


def show_page(page: Page) -> None:
    """Show what was read."""
    _show_head(page.run)
    if page.pause is not None:
        show_question(page.pause)
    _section("States", [_state_line(each) for each in page.history])
    _section("Answers", [_answer_line(each) for each in page.pauses if each.state != "pending"])
    _section("Inputs", [_stream_line(each) for each in page.streams])
    _section("Children", [_child_line(each) for each in page.children])
    _section("Log", [log_line(each) for each in page.log])


def _show_head(run: FlowRun) -> None:
    when = times.both if is_terminal(sys.stdout) else times.exact
    rows: dict[str, str | Text] = {
        "id": str(run.id),
        "name": run.name,
        "flow": run.flow_name,
        "deployment": run.deployment_id or "",
        "parent": str(run.parent_run_id or ""),
        "state": output.state(run.state.name),
        "since": when(run.state.timestamp),
        "message": run.state.message,
        "created": when(run.created),
        "started": when(run.start_time),
        "ended": when(run.end_time),
        "retries": str(run.retry or ""),
        "parameters": output.value(run.parameters) if run.parameters else "",
        "result": output.value(run.state.data) if run.state.data else "",
    }
    output.pairs({name: value for name, value in rows.items() if value})


def show_question(pause: Pause) -> None:
    when = times.both if is_terminal(sys.stdout) else times.exact
    _section("Question", [Text(f"open since {when(pause.opened)}")])
    if pause.deadline is not None:
        output.line(f"  deadline {when(pause.deadline)}", "yellow")
    if pause.description and is_terminal(sys.stdout):
        output.markdown(pause.description, indent=2)
    elif pause.description:
        output.line(f"  {one_line(pause.description)}")
    if pause.problems:
        output.line("  the last answer was not taken:", "red")
        output.problems(by_place(pause.problems), indent=2)
    reader, former = SchemaReader(pause.schema or {}), fields_of(read_json(pause.former))
    if isinstance(asked := reader.form(), parts.Object):
        for name, part in reader.fields(asked):
            about = _about(part, former.get(name, parts.UNSET))
            output.line(Text(f"  {one_line(name)}").append(about, "dim"))


def _about(part: parts.Part, last: JSONValue) -> str:
    is_text = isinstance(part, parts.Text)
    words = ["a text"] if is_text and not part.format else []
    words.append(hint(part))
    if isinstance(part, parts.Choice):
        words.append(f"one of {', '.join(each.label for each in part.options)}")
    if part.default is not parts.UNSET and not part.is_secret:
        words.append(f"default {output.value(part.default, 60)}")
    if last is not parts.UNSET:
        words.append(f"last answer {output.value(last, 60)}")
    if part.help:
        words.append(one_line(part.help))
    return f": {one_line(', '.join(filter(None, words)))}"


def _section(title: str, lines: list[Text]) -> None:
    if lines:
        output.line()
        output.line(title, "bold")
    for each in lines:
        output.block(
            Padding(each, (0, 0, 0, 2), expand=False)
            if is_terminal(sys.stdout)
            else Text("  ") + each
        )


def _state_line(change: StateChange) -> Text:
    if not is_terminal(sys.stdout):
        return Text(f"{times.exact(change.time)} {one_line(change.state)}")
    return Text(f"{times.clock(change.time)}  ", "dim").append(one_line(change.state), "not dim")


def _answer_line(pause: Pause) -> Text:
    words = [f"{pause.key}: {pause.state}"]
    if pause.by:
        words.append(f"by {pause.by}")
    if pause.answered is not None:
        shown = times.relative if is_terminal(sys.stdout) else times.exact
        words.append(shown(pause.answered))
    if pause.value:
        words.append(output.value(read_json(pause.value)))
    if pause.state == "refused" and pause.problems:
        words.append(f"({in_one_line(by_place(pause.problems))})")
    return Text(one_line(" ".join(words)))


def _stream_line(stream: StreamInfo) -> Text:
    return Text(f"{one_line(stream.name)}: {stream.length} ({stream.unread} unread)")


def _child_line(run: FlowRun) -> Text:
    return Text(f"{run.id} {one_line(run.name)} ").append_text(output.state(run.state.name))
