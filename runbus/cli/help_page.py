"""The help of all commands, in the look that cyclopts gives to the help of each."""

from __future__ import annotations

from math import ceil

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from runbus.cli import commands, exits

_NAMES = 0.35
"""How much of the width the names may take."""
_OPTIONS = {
    "--help (-h)": "Display this message and exit.",
    "--install-completion": commands.COMPLETION,
    "--version": "Display application version.",
}


def show() -> None:
    """Print it."""
    console = Console(markup=False, highlight=False, emoji=False)
    console.print(Text("Usage: runbus COMMAND [OPTIONS]\n", "bold"))
    console.print(Text(f"{commands.ABOUT}\n"))
    longest = ceil(console.width * _NAMES)
    console.print(_panel("Commands", {**_of_commands(), **_OPTIONS}, longest))
    console.print(_panel("Parameters", {"--debug": commands.DEBUG}, longest))
    console.print(Text(f"\n{exits.EXPLAINED}"))


def _of_commands() -> dict[str, str]:
    helps = {name: text for name, (_, text) in commands.COMMANDS.items()} | commands.GROUPS
    return {name: text.partition("\n\n")[0] for name, text in sorted(helps.items())}


def _panel(title: str, rows: dict[str, str], longest: int) -> Panel:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="cyan", max_width=longest)
    table.add_column(overflow="fold")
    for name, what in rows.items():
        table.add_row(Text(name), Text(what))
    return Panel(table, title=title, title_align="left")
