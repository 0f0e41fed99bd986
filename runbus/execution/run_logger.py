"""The logger of a run: its lines carry the name of the run, and do nothing but be read.

What a flow says stays as it is for the handlers of its program; on the terminal of a program
without any, it can neither steer the terminal nor look like another line. What runbus itself says
is one readable line everywhere (`store/readable_log.py`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from runbus.execution.current_run import get_run_context
from runbus.execution.log_shipper import prefix_of, shipper
from runbus.protocol.printed import readable

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_RUNS = logging.getLogger("runbus.flow_runs")
_MARGIN = " " * 10  # as wide as the time, so that no later line begins as a first one does


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A standard-library logger whose lines begin with the run's name."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Put the run's name before a message."""
        extra = self.extra or {}
        # The caller's own `extra` is kept beside the run's.
        kwargs["extra"] = {**extra, **(kwargs.get("extra") or {})}
        return f"{prefix_of(str(extra['flow_run_name']))}{msg}", kwargs


class TerminalFormatter(logging.Formatter):
    """Formats for a terminal: no record can steer it or look like two."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the readable lines of a record; those after the first are indented."""
        return readable(super().format(record)).replace("\n", f"\n{_MARGIN}")


def get_run_logger() -> RunLogger:
    """Return the logger of the current flow run. Raises `NoCurrentRun` outside a flow.

    It writes to the standard library's logger `runbus.flow_runs`, and what passes that logger's
    level also goes to the run's log stream.
    """
    if shipper not in _RUNS.handlers:
        _RUNS.addHandler(shipper)
    run = get_run_context().flow_run
    names = {
        "flow_run_id": str(run.id),
        "flow_run_name": run.name,
        "flow_name": run.flow_name,
    }
    return RunLogger(_RUNS, names)


def show_on_terminal() -> None:
    """Show the lines of runs on standard error, unless the program has set up logging itself."""
    own = [handler for handler in _RUNS.handlers if handler is not shipper]
    if own or logging.getLogger("runbus").handlers or logging.getLogger().handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(TerminalFormatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    _RUNS.addHandler(handler)
    _RUNS.setLevel(logging.INFO)
