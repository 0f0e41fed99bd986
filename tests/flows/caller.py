"""Calls one verb from a process of its own: `python caller.py <verb> <arguments as JSON>`."""

from __future__ import annotations

import json
import sys

import runbus

if __name__ == "__main__":
    getattr(runbus, sys.argv[1])(**json.loads(sys.argv[2]))
