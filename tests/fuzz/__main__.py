"""`python -m tests.fuzz test_answers -max_total_time=60`: one of these tests, under atheris.

atheris finds its way by the coverage of runbus's own code; Hypothesis makes its bytes into what the
test takes. What follows the test's name goes to libFuzzer. `pip install atheris` first.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["runbus"]):
    from fuzz import test_any_type, test_posted_forms, test_readers, test_typed_lines

# Those that need no server.
TESTS: dict[str, Any] = {
    name: test
    for module in (test_readers, test_typed_lines, test_posted_forms, test_any_type)
    for name, test in vars(module).items()
    if name.startswith("test_")
}


def main() -> None:
    """Fuzz until libFuzzer's limits are reached; a finding is shown and ends it."""
    if len(sys.argv) < 2 or sys.argv[1] not in TESTS:
        sys.exit(f"{__doc__}\nTests: {', '.join(TESTS)}")
    test = TESTS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, test.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
