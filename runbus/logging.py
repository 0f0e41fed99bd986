"""Logging: lines that carry the name of the run that wrote them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from runbus.flow_run_context import get_run_context
from runbus.log_shipper import shipper

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_RUNS = logging.getLogger("runbus.flow_runs")


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A standard-library logger whose lines begin with the run's name."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Put the run's name before a message."""
        extra = self.extra or {}
        # The caller's own `extra` is kept beside the run's.
        kwargs["extra"] = {**extra, **(kwargs.get("extra") or {})}
        name = str(extra["flow_run_name"]).replace("%", "")  # it must not ask for an argument
        return f"{name}: {msg}", kwargs


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
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    _RUNS.addHandler(handler)
    _RUNS.setLevel(logging.INFO)
