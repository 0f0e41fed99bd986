"""Interactive Python workflows, on nothing but Redis."""

from runbus.client import get_client
from runbus.context import get_run_context
from runbus.deployments import run_deployment, serve
from runbus.errors import RunbusError
from runbus.execution.current_run import bound_run
from runbus.flow_runs import (
    cancel_flow_run,
    pause_flow_run,
    resume_flow_run,
    suspend_flow_run,
    wait_for_flow_run,
)
from runbus.flows import Flow, flow
from runbus.green_threads import refuse_green_threads
from runbus.input import RunInput, RunInputMetadata, receive_input, send_input
from runbus.logging import get_run_logger
from runbus.protocol.durability import Replicated
from runbus.protocol.ids import flow_run_id_for

refuse_green_threads()

__version__ = "0.1.0"

__all__ = [
    "Flow",
    "Replicated",
    "RunInput",
    "RunInputMetadata",
    "RunbusError",
    "bound_run",
    "cancel_flow_run",
    "flow",
    "flow_run_id_for",
    "get_client",
    "get_run_context",
    "get_run_logger",
    "pause_flow_run",
    "receive_input",
    "resume_flow_run",
    "run_deployment",
    "send_input",
    "serve",
    "suspend_flow_run",
    "wait_for_flow_run",
]
