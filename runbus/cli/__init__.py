"""The command `runbus`: a command a file, each imported when it is called.

Commands read `arguments`, ask a person by `form_prompts`, and print by `output` and `json_output`;
how they end is in `exits`. They know runs through the client, as every other program does.
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module

__all__ = ["main"]


def main() -> None:
    """Run the command of `sys.argv` and exit: 0 done, 1 failed, 2 wrongly called."""
    try:
        import_module("rich")  # which the commands import later, each when it is called

        from runbus.cli.app import run
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in {"cyclopts", "rich"}:
            raise
        print("runbus: the command line needs `pip install 'runbus[cli]'`.", file=sys.stderr)
        sys.exit(2)
    code = run(sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C has nothing to interrupt
    sys.exit(code)
