"""A prompt: shows on a terminal what is asked for, and takes what is typed."""

from __future__ import annotations

import sys
from contextlib import suppress
from getpass import getpass
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.text import Text

from runbus.cli import output
from runbus.forms import catalogue, parts
from runbus.forms.values import Mistyped, label, read_boolean, read_value
from runbus.forms.wording import hint
from runbus.protocol.printed import one_line, readable

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_DEFAULT = 60


class Prompt:
    """Speaks with a person, further to the right the deeper inside of the form."""

    def __init__(self) -> None:
        self.depth = 0
        self.lines = 0
        """How many were taken."""
        self.unasked = 0
        """How many values were shown or made since a line was taken."""
        with suppress(ImportError):  # where there is none, lines are typed without it
            import readline  # noqa: F401 # pyright: ignore[reportUnusedImport]

    def show(self, wanted: parts.Part) -> None:
        """Show what is asked for: title, what can be typed, help, and options."""
        head = Text(one_line(wanted.title), "bold")
        if words := hint(wanted):
            head.append(f"  ({one_line(words)})", "not bold dim")
        self._print(head)
        if wanted.help:
            self._print(Text(readable(wanted.help)))
        if isinstance(wanted, parts.Choice):
            self.options(wanted.options)

    def options(self, options: Sequence[parts.Option]) -> None:
        """Show what there is to choose from."""
        numbered = is_numbered(options)
        for number, each in enumerate(options, 1):
            self._print(Text(f"  {f'{number}) ' if numbered else '- '}{one_line(each.label)}"))

    def chosen(self, wanted: parts.Choice, text: str) -> Any:
        """Read which option is meant, by its number or itself. Raises `Mistyped`."""
        options = wanted.options
        try:
            return read_value(wanted, text)
        except Mistyped:
            if not is_numbered(options):
                raise
        if text.isdecimal() and text in map(str, range(1, len(options) + 1)):
            return options[int(text) - 1].value
        raise Mistyped(catalogue.NUMBERED_OPTION_WANTED.format(count=len(options)))

    def say(self, text: str) -> None:
        """Show advice."""
        self._print(Text(text, "dim"))

    def complain(self, problem: str) -> None:
        """Show what was wrong."""
        self._print(Text(f"✗ {readable(problem)}", "red"))

    def value(self, wanted: parts.Part) -> str:
        """Take the line that answers a part, whose default is shown in brackets."""
        if wanted.is_secret:
            return self.line("> ", is_secret=True)
        if wanted.default is parts.UNSET:
            return self.line("> ")
        shown = "none" if wanted.default is None else label(wanted.default)
        if len(shown) > LONGEST_DEFAULT:
            shown = shown[: LONGEST_DEFAULT - 1] + "…"
        return self.line(f"[{one_line(shown) or 'empty'}] > ")

    def agree(self, question: str, *, default: bool) -> bool:
        """Ask for yes or no."""
        while True:
            text = self.line(f"{one_line(question)} [{'Y/n' if default else 'y/N'}] ")
            try:
                return read_boolean(text) if text else default
            except Mistyped as error:
                self.complain(str(error))

    def line(self, prompt: str, *, is_secret: bool = False) -> str:
        """Take a line; one that is secret is typed unseen."""
        sys.stdout.flush()
        self._count()
        take = getpass if is_secret else input
        return take(self._indent(prompt)).strip()

    def _count(self) -> None:
        self.lines += 1
        self.unasked = 0

    def _indent(self, text: str) -> str:
        return " " * (2 * self.depth) + text

    def _print(self, text: Text) -> None:
        output.block(Padding(text, (0, 0, 0, 2 * self.depth), expand=False))


def is_numbered(options: Sequence[parts.Option]) -> bool:
    """Tell whether options may be named by their place: numbers are named by themselves."""
    return not any(isinstance(each.value, (int, float)) for each in options)
