"""The verbs about flow runs: pause, suspend, resume, cancel, wait."""

from runbus.flow_runs.cancel import acancel_flow_run, cancel_flow_run
from runbus.flow_runs.pause import apause_flow_run, pause_flow_run
from runbus.flow_runs.resume import answer_flow_run, aresume_flow_run, resume_flow_run
from runbus.flow_runs.suspend import asuspend_flow_run, suspend_flow_run
from runbus.flow_runs.wait import await_for_flow_run, wait_for_flow_run

__all__ = [
    "acancel_flow_run",
    "answer_flow_run",
    "apause_flow_run",
    "aresume_flow_run",
    "asuspend_flow_run",
    "await_for_flow_run",
    "cancel_flow_run",
    "pause_flow_run",
    "resume_flow_run",
    "suspend_flow_run",
    "wait_for_flow_run",
]
