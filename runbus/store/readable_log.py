"""What runbus itself logs is one readable line in every handler: it names runs, and their errors.

Those are words of others. What a flow says stays as it is for the handlers of its program.
"""

from __future__ import annotations

import logging

from runbus.protocol.printed import one_line


def one_readable_line(record: logging.LogRecord) -> bool:
    """Clean what runbus says, in place: a filter, which lets every record through."""
    if not hasattr(record, "flow_run_id"):  # a flow's own words have it
        said = record.getMessage()
        cleaned = one_line(said)
        if cleaned != said:
            record.msg, record.args = cleaned, ()
    return True


def clean_all() -> None:
    """Clean what is logged from now on."""
    for name in ("runbus", "runbus.flow_runs"):
        logging.getLogger(name).addFilter(one_readable_line)
