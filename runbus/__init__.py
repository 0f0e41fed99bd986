"""Interactive Python workflows, on nothing but Redis."""

from runbus.context import bound_run
from runbus.errors import RunbusError
from runbus.input import RunInput, RunInputMetadata, receive_input, send_input
from runbus.protocol.ids import flow_run_id_for

__version__ = "0.1.0"

__all__ = [
    "RunInput",
    "RunInputMetadata",
    "RunbusError",
    "bound_run",
    "flow_run_id_for",
    "receive_input",
    "send_input",
]
