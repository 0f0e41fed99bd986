"""Flows that are called directly, by name: `python direct.py ask`."""

from __future__ import annotations

import sys

from runbus import flow, pause_flow_run


@flow
def ask() -> int:
    return pause_flow_run(int)


@flow
def ask_in_a_child() -> int:
    return ask()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
