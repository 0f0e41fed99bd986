"""The logger of the run whose code asks for it."""

from runbus.execution.run_logger import RunLogger, get_run_logger

__all__ = ["RunLogger", "get_run_logger"]
