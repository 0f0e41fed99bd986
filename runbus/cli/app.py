"""All commands, and what they have in common: `--debug`, how errors look, and exit codes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from runbus import __version__
from runbus.cli import acl, demo, server
from runbus.errors import RunbusError

if TYPE_CHECKING:
    from collections.abc import Sequence

FAILED = 1
WRONGLY_CALLED = 2

app = App(
    name="runbus",
    help="Interactive Python workflows on nothing but Redis.",
    version=__version__,
    default_parameter=Parameter(negative=()),  # no --no-json
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
)
app.command(acl.acl)
app.command(demo.demo)
app.command(server.app)


def run(words: Sequence[str]) -> int:
    """Run the command that `words` name and return its exit code."""
    try:
        code: Any = app.meta(words, result_action="return_value")
    except CycloptsError as error:
        return _fail(error, WRONGLY_CALLED)
    return code or 0  # help and the version return nothing


@app.meta.default
def _with_debug(
    *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    debug: Annotated[bool, Parameter(help="Show where in the code an error comes from.")] = False,
) -> Any:
    try:
        return app(words)
    except RunbusError as error:
        if debug:
            raise
        return _fail(error, FAILED)


def _fail(error: Exception, code: int) -> int:
    print(f"runbus: {error}", file=sys.stderr)
    return code
