"""The types that users see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.long
@pytest.mark.timeout(600)
def test_typical_user_code_passes_a_strict_type_checker() -> None:
    """The package and what users write have no type errors in pyright's strict mode."""
    check("basedpyright", "--pythonpath", sys.executable)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_typical_user_code_passes_another_type_checker() -> None:
    """What users write has no type errors in mypy's strict mode either."""
    check("mypy", "--strict", "--follow-imports=silent", "--cache-dir=/dev/null", "tests/typing")


def check(*command: str) -> None:
    command = (sys.executable, "-m", *command)
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
