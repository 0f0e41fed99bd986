"""The command `runbus`."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command of `sys.argv` and exit: 0 done, 1 failed, 2 wrongly called."""
    try:
        from runbus.cli.app import run
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in {"cyclopts", "rich"}:
            raise
        print("runbus: the command line needs `pip install 'runbus[cli]'`.", file=sys.stderr)
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))
