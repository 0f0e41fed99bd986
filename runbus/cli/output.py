"""Records for people and for programs: a table, lines with tabs, or JSON.

Rich is imported where something is drawn on a terminal: a script that asks again and again gets
its lines sooner without it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from cyclopts import Parameter

from runbus.cli import json_output
from runbus.cli.terminal import console, is_terminal
from runbus.protocol.printed import one_line, readable
from runbus.protocol.states import TYPES, StateType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.table import Table
    from rich.text import Text

T = TypeVar("T")

Json = Annotated[bool, Parameter(name="--json", help="Print JSON, for programs.")]
JsonLines = Annotated[
    bool, Parameter(name="--json", help="Print JSON, for programs: with --follow a line each.")
]
Run = Annotated[str, Parameter(help="The run: its id, a unique beginning of it, or its name.")]

COLOURS: dict[StateType | None, str] = {
    StateType.RUNNING: "blue",
    StateType.PAUSED: "yellow",
    StateType.COMPLETED: "green",
    StateType.FAILED: "red",
    StateType.CRASHED: "red",
    StateType.CANCELLING: "magenta",
    StateType.CANCELLED: "magenta",
}


@dataclass(frozen=True, kw_only=True)
class Column(Generic[T]):
    """One column of a list."""

    title: str
    plain: Callable[[T], str]
    """What a pipe gets."""
    shown: Callable[[T], str | Text] | None = None
    """What a terminal gets, where that is something else."""
    style: str = ""


def table(records: Sequence[T], columns: Sequence[Column[T]], *, empty: str = "") -> None:
    """Show a list: a table on a terminal, in a pipe a line for each with tabs between."""
    if not is_terminal(sys.stdout):
        for record in records:
            line("\t".join(one_line(column.plain(record)) for column in columns))
    elif records:
        console().print(_table(records, columns))
    elif empty:
        line(empty)


def _table(records: Sequence[T], columns: Sequence[Column[T]]) -> Table:
    from rich.table import Table

    found = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        found.add_column(column.title, style=column.style, overflow="fold")
    for record in records:
        found.add_row(*(_cell((column.shown or column.plain)(record)) for column in columns))
    return found


def _cell(value: str | Text) -> Text:
    from rich.text import Text

    return value if isinstance(value, Text) else Text(one_line(value))


def pairs(rows: Mapping[str, str | Text], *, indent: int = 0) -> None:
    """Show names with their values, aligned on a terminal, `name: value` in a pipe."""
    if not is_terminal(sys.stdout):
        for name, value in rows.items():
            line(f"{name}: {one_line(value) if isinstance(value, str) else value.plain}")
        return
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")  # a path must not be cut
    for name, value in rows.items():
        grid.add_row(" " * indent + one_line(name), _cell(value))
    console().print(grid)


def line(text: str | Text = "", style: str = "") -> None:
    """Print a line whose text is harmless already."""
    if not is_terminal(sys.stdout):  # where rich would make spaces of tabs
        sys.stdout.write((text if isinstance(text, str) else text.plain) + "\n")
        return
    from rich.text import Text

    console().print(Text(text, style) if isinstance(text, str) else text)


def record(*, plain: Sequence[str], shown: Text) -> None:
    """Print one of many: on a terminal as it is shown, in a pipe with tabs between."""
    if is_terminal(sys.stdout):
        line(shown)
    else:
        line("\t".join(map(one_line, plain)))
        sys.stdout.flush()  # whoever follows in a pipe waits for it


def problems(by_place: Mapping[str, str], *, indent: int = 0) -> None:
    """Print what is wrong with an answer, a line for each place."""
    for place, problem in by_place.items():
        words = one_line(f"{place}: {problem}" if place else problem)
        line(f"{' ' * indent}✗ {words}", "red")


def block(what: RenderableType) -> None:
    """Print something that rich lays out."""
    console().print(what)


def markdown(text: str, *, indent: int = 0) -> None:
    """Print Markdown. It has no hyperlinks, so that one sees where a link leads."""
    from rich.markdown import Markdown  # which takes a fifth of a second to load
    from rich.padding import Padding

    block(Padding(_Readable(Markdown(readable(text), hyperlinks=False)), (0, 0, 0, indent)))


@dataclass(frozen=True)
class _Readable:
    """Text that Markdown spells in its own ways, such as `%1b` in a link or `&#x202e;`."""

    inner: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Segment]:
        for segment in console.render(self.inner, options):
            yield segment._replace(text=readable(segment.text))


def note(text: str) -> None:
    """Tell a person something beside the output: on standard error."""
    from rich.text import Text

    console(stderr=True).print(Text(readable(text)))


def json(value: Any) -> None:
    """Print one JSON document."""
    _print_json(json_output.written(value, is_indented=True))


def json_line(value: Any) -> None:
    """Print one line of JSON."""
    _print_json(json_output.written(value))


def _print_json(text: str) -> None:
    if is_terminal(sys.stdout):
        _highlight(text)
    else:
        sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _highlight(text: str) -> None:
    from rich.highlighter import JSONHighlighter
    from rich.text import Text

    console().print(JSONHighlighter()(Text(text)), soft_wrap=True)


def state(name: str) -> Text:
    """Return a state's name in its colour."""
    from rich.text import Text

    return Text(one_line(name), COLOURS.get(TYPES.get(name), ""))


def value(found: Any, longest: int | None = None) -> str:
    """Return a value as JSON in one line."""
    text = json_output.shown(found)
    return text if longest is None or len(text) <= longest else text[: longest - 1] + "…"


def first_line(text: str | None, longest: int = 60) -> str:
    """Return how a text begins."""
    begin = one_line((text or "").strip().partition("\n")[0])
    return begin if len(begin) <= longest else begin[: longest - 1] + "…"


def lengths(ids: Iterable[str], shortest: int = 8) -> int:
    """Return how much of each id tells it from the others."""
    known = list(ids)
    for length in range(shortest, 36):
        if len({each[:length] for each in known}) == len(set(known)):
            return length
    return 36
