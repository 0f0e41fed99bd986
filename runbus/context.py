"""The context: which flow run the code that asks is part of."""

from runbus.execution.current_run import get_run_context

__all__ = ["get_run_context"]
