"""`lasting.py` with another grace time: `python hasty.py <grace seconds> <limit> [flow name …]`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from runbus.worker import worker

if __name__ == "__main__":
    worker.GRACE_SECONDS = float(sys.argv.pop(1))
    runpy.run_path(str(Path(__file__).with_name("lasting.py")), run_name="__main__")
