"""`python -m tests.fuzz test_answers -max_total_time=60`: a test of `test_readers`, under atheris.

atheris finds its way by the coverage of runbus's own code; Hypothesis makes its bytes into what the
test takes. What follows the test's name goes to libFuzzer. `pip install atheris` first.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["runbus"]):
    from fuzz import test_readers


def main() -> None:
    """Fuzz until libFuzzer's limits are reached; a finding is shown and ends it."""
    names = [name for name in vars(test_readers) if name.startswith("test_")]
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        sys.exit(f"{__doc__}\nTests: {', '.join(names)}")
    test = getattr(test_readers, sys.argv.pop(1))
    atheris.Setup(sys.argv, test.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
