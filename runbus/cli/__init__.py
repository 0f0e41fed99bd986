"""The command `runbus`."""

from __future__ import annotations

import signal
import sys
from importlib.util import find_spec

__all__ = ["main"]


def main() -> None:
    """Run the command of `sys.argv` and exit: 0 done, 1 failed, 2 wrongly called."""
    if find_spec("cyclopts") is None or find_spec("rich") is None:
        print("runbus: the command line needs `pip install 'runbus[cli]'`.", file=sys.stderr)
        sys.exit(2)
    from runbus.cli.app import run  # late, since the extra is there

    code = run(sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C has nothing to interrupt
    sys.exit(code)
