"""Exit codes, for scripts, and the error of a command that is wrongly called."""

from __future__ import annotations

DONE = 0
FAILED = 1
WRONGLY_CALLED = 2
NOT_RUNNING = 3  # as `systemctl status` and `pg_ctl status` say it
INTERRUPTED = 130  # as shells say it of Ctrl-C

EXPLAINED = (
    "Exit codes: 0 done, 1 failed, 2 wrongly called, 3 not running (server status), "
    "130 interrupted."
)


class WrongCall(Exception):
    """The words of the command cannot be meant. Nothing was done."""


class Failed(Exception):
    """The command cannot do what it was asked to do."""
