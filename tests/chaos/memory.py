"""Whether memory is flat: runs the soak in a process of its own and judges what it printed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

WARM_PARTS = 5
"""How many of the soak's parts are warm-up."""
SLACK_BYTES = 4 * 1024 * 1024


def measure(url: str, inputs: int) -> list[int]:
    """Return the resident memory (bytes) of a process in the course of so many inputs."""
    command = [sys.executable, str(Path(__file__).with_name("soak.py")), str(inputs)]
    environment = {**os.environ, "RUNBUS_URL": url}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return [int(line.split()[1]) for line in done.stdout.splitlines()]


def growth(samples: list[int]) -> int:
    """Return by how many bytes the memory has grown since the process was warm."""
    return max(samples[-3:]) - max(samples[: WARM_PARTS + 1])
