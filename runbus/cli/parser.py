"""The commands as cyclopts knows them, and `--debug`, which goes with each.

A command's module is imported when the command is called, so that no command waits for what
another one needs.
"""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from runbus import __version__
from runbus.cli import commands, exits, web
from runbus.errors import RunbusError
from runbus.protocol.printed import one_line, readable

if TYPE_CHECKING:
    from collections.abc import Sequence

app = App(
    name="runbus",
    help=commands.ABOUT,
    help_format="plaintext",  # what reads Markdown takes a while to load
    help_epilogue=exits.EXPLAINED,
    version=__version__,
    default_parameter=Parameter(negative=(), show_default=False),  # no --no-json
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)
for _name, _help in commands.GROUPS.items():
    app.command(f"runbus.cli.{_name}:app", name=_name, help=_help)
for _name, (_module, _help) in commands.COMMANDS.items():
    app.command(f"runbus.cli.{_module}:{_name}", name=_name, help=_help)

_OF_ALL = ("--debug", "--help", "-h", "--version", "--install-completion")


def call(words: Sequence[str]) -> int:
    """Call the command that the words name and return its exit code; words may be wrong."""
    try:
        if words[0] == "web":  # its words are its own, `--help` too
            return web.web(*words[1:])
        code: Any = _call_plainly(words) if _is_plain(words) else _call_with_options(words)
    except (CycloptsError, exits.WrongCall) as error:
        return _fail(error, exits.WRONGLY_CALLED)
    return code or exits.DONE  # help and the version return nothing


def _is_plain(words: Sequence[str]) -> bool:
    """Whether no word can be an option of all commands, which it takes a while to look for."""
    known = words[0] in {*commands.GROUPS, *commands.COMMANDS}
    return known and not any(word.startswith(_OF_ALL) for word in words)


def _call_plainly(words: Sequence[str], *, debug: bool = False) -> Any:
    try:
        return app(words)
    except (BrokenPipeError, CycloptsError, exits.WrongCall):
        raise
    except Exception as error:
        return _fail_at_length() if debug else _explain(error)


def _call_with_options(words: Sequence[str]) -> Any:
    app.register_install_completion_command(  # pyright: ignore[reportUnknownMemberType]
        help=commands.COMPLETION
    )
    return app.meta(words, result_action="return_value")


@app.meta.default
def _with_debug(
    *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    debug: Annotated[bool, Parameter(help=commands.DEBUG)] = False,
) -> Any:
    return _call_plainly(words, debug=debug)


def _explain(error: Exception) -> int:
    if isinstance(error, (RunbusError, exits.Failed)):
        return _fail(error, exits.FAILED)
    if isinstance(error, UnicodeEncodeError):  # what is stored is UTF-8, so it was one of the words
        return _fail(f"{error.object!r:.200} is not UTF-8.", exits.WRONGLY_CALLED)
    what = f"{type(error).__name__}: {error}. This should not happen; --debug shows where."
    return _fail(what, exits.FAILED)


def _fail_at_length() -> int:
    print(readable(traceback.format_exc()), end="", file=sys.stderr)
    return exits.FAILED


def _fail(error: object, code: int) -> int:
    text = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    print(f"runbus: {one_line(text)}", file=sys.stderr)
    return code
