"""All commands, and what they have in common: `--debug`, how errors look, and exit codes.

A command's module is imported when the command is called, so that no command waits for what
another one needs.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from runbus import __version__
from runbus.cli import exits, web
from runbus.errors import RunbusError
from runbus.protocol.printed import one_line, readable

if TYPE_CHECKING:
    from collections.abc import Sequence

app = App(
    name="runbus",
    help="Interactive Python workflows on nothing but Redis.",
    help_format="plaintext",  # what reads Markdown takes a while to load
    help_epilogue=exits.EXPLAINED,
    version=__version__,
    default_parameter=Parameter(negative=(), show_default=False),  # no --no-json
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)

_GROUPS = {
    "run": "List runs, look at one, read its log, cancel it.",
    "deployment": "List what is served, and start runs of it.",
    "worker": "List the processes that execute runs.",
    "server": "Start, stop and show the embedded server, which is used without RUNBUS_URL.",
}
_COMMANDS = {
    "resume": (
        "resume",
        "Answer a run that waits.\n\n"
        "On a terminal it asks for each field of the form: Enter takes what stands in brackets, or "
        "leaves an optional field out; Ctrl-C leaves without an answer. Elsewhere, and in scripts, "
        "--input has the answer.",
    ),
    "send": ("inputs", "Send an input to a run."),
    "inputs": ("inputs", "Print the inputs that a run was sent."),
    "events": ("events", "Print each change of a run's state as it happens."),
    "doctor": (
        "doctor",
        "Find out what is wrong with the server, and what to do.\n\n"
        "It looks at the server's version, memory, eviction, persistence and clock, at how fast it "
        "wakes who waits, at replicas, and at the leases, the queue and the indexes of runs. The "
        "exit code is 1 when something is wrong. --repair puts right what the indexes say (a user "
        "with all rights may).",
    ),
    "demo": ("demo", "Talk to a greeter in another process."),
    "web": ("web", "Serve the web page."),
    "acl": (
        "acl",
        "Print server users with the least rights, as a Redis ACL file.\n\n"
        "`sender` sends inputs and reads nothing. `worker` executes runs and can do whatever a "
        "flow can, but answer no pause. `reader` sees everything and changes nothing. `web` sees, "
        "answers, sends, starts and cancels. `admin` may do everything on the server, `default` "
        "nothing.\n\n"
        "They fit the scripts of this version of runbus: print them anew when you upgrade. Without "
        "--password-file the server does not load the file before each placeholder is replaced by "
        'the SHA-256 of a password (`printf %s "$password" | sha256sum`).',
    ),
}
for _name, _help in _GROUPS.items():
    app.command(f"runbus.cli.{_name}:app", name=_name, help=_help)
for _name, (_module, _help) in _COMMANDS.items():
    app.command(f"runbus.cli.{_module}:{_name}", name=_name, help=_help)
app.register_install_completion_command(  # pyright: ignore[reportUnknownMemberType]
    help="Let your shell complete the commands."
)


def run(words: Sequence[str]) -> int:
    """Run the command that `words` name and return its exit code."""
    _never_fail_to_print()
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        return _leave_pipe()
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    return code


def _run(words: Sequence[str]) -> int:
    try:
        if words[:1] == ["web"]:  # its words are its own, `--help` too
            return web.web(*words[1:])
        code: Any = app.meta(words, result_action="return_value")
    except (CycloptsError, exits.WrongCall) as error:
        return _fail(error, exits.WRONGLY_CALLED)
    return code or exits.DONE  # help and the version return nothing


@app.meta.default
def _with_debug(
    *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    debug: Annotated[bool, Parameter(help="Show where in the code an error comes from.")] = False,
) -> Any:
    try:
        return app(words)
    except (BrokenPipeError, CycloptsError, exits.WrongCall):
        raise
    except Exception as error:
        return _fail_at_length() if debug else _explain(error)


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


def _never_fail_to_print() -> None:
    # What the encoding of the terminal lacks is written as an escape, and what it cannot read is
    # left to whoever checks what was typed.
    reconfigure = getattr(sys.stdin, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="surrogateescape")
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _leave_pipe() -> int:
    # The reader has what it wanted. What is still buffered has nowhere to go.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return exits.DONE
