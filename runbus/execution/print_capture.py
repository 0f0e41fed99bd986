"""What a flow prints, as lines of its run (`log_prints`).

`print` is replaced once, and asks at each call whose code this is: everybody else's prints, those
of other runs among them, go where they always went.
"""

from __future__ import annotations

import builtins
from contextvars import ContextVar
from io import StringIO
from threading import Lock
from typing import Any, cast

from runbus.execution.current_run import current_flow_run
from runbus.execution.run_logger import get_run_logger

_lock = Lock()
_print_before: Any = None
_is_logging: ContextVar[bool] = ContextVar("runbus_is_logging", default=False)


def watch_prints() -> None:
    """See to it, once, that runs which want that have their prints as lines."""
    global _print_before
    with _lock:
        if _print_before is None:
            _print_before, builtins.print = builtins.print, cast("Any", _print)


def _print(*values: object, **options: Any) -> None:
    run = current_flow_run()
    if run is None or not run.log_prints or options.get("file") is not None or _is_logging.get():
        _print_before(*values, **options)
        return
    text = StringIO()
    _print_before(*values, **{**options, "file": text})
    token = _is_logging.set(True)  # a log handler may print in turn
    try:
        get_run_logger().info("%s", text.getvalue().rstrip("\n"))
    finally:
        _is_logging.reset(token)
