"""The printed table and the JSON file of a run."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from redis import Redis

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.measure import Row

_LINE = "{:<47} {:>10}  {:<42} {:>20}  {:<15} {}"
_PACKAGES = ("runbus", "redis", "hiredis", "pydantic", "orjson", "faststream", "pydocket")


def print_header() -> None:
    """Print the names of the columns."""
    print(_LINE.format("row", "runbus", "compared with", "ratio (spread)", "must reach", "ok"))
    print("-" * 144, flush=True)


def print_row(row: Row) -> None:
    """Print a row as soon as it is measured."""
    other = "" if row.other is None else f"{_show(row.other, row.unit)}  {row.versus}"
    spread = f"({row.low:.2f} … {row.high:.2f})"
    ratio = f"{spread:>14}" if row.ratio is None else f"{row.ratio:.2f} {spread:>14}"
    ok = "" if row.goal is None else "yes" if row.ok else "NO"
    cells = (row.name, _show(row.runbus, row.unit), other, ratio, _goal(row), ok)
    print(_LINE.format(*cells).rstrip(), flush=True)


def write_json(path: Path, rows: Sequence[Row], facts: dict[str, object]) -> None:
    """Write all rows, and what they were measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": facts, "rows": [{**asdict(row), "ok": row.ok} for row in rows]}
    path.write_text(json.dumps(content, indent=2) + "\n")


def machine_facts(url: str, *, quick: bool) -> dict[str, object]:
    """Return what the numbers depend on."""
    with Redis.from_url(url) as client:
        server = client.info("server")
    name = "valkey" if "valkey_version" in server else "redis"
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "quick": quick,
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": sys.version.split()[0],
        "server": f"{name} {server[f'{name}_version']}",
        **{package: _version(package) for package in _PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _goal(row: Row) -> str:
    if row.goal is None:
        return ""
    unit = "x" if row.ratio is not None else row.unit
    aim = "" if row.goal.aim is None else f" (aim {row.goal.aim:g})"
    return f"{row.goal.sign} {row.goal.value:g} {unit}".rstrip() + aim


def _show(number: float, unit: str) -> str:
    digits = f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.3g}"
    return digits + unit if unit.startswith("/") else f"{digits} {unit}".rstrip()
