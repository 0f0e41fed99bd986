"""What code may ask about the run that it is part of: `from runbus.runtime import flow_run`."""

from runbus.runtime import flow_run

__all__ = ["flow_run"]
