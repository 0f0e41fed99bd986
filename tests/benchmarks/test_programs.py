"""The other programs that measure: each works on a server of its own and writes what it found."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.anatomy.sampler import sampled
from benchmarks.scale.report import Growth

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.timeout(300)


def measured(program: str, *words: str, file: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", f"benchmarks.{program}", *words, "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text())


@pytest.mark.long
def test_runbus_is_compared_with_others(tmp_path: Path) -> None:
    """Each other library has its rows for the work that it does, and a chart is drawn."""
    chart = tmp_path / "chart.png"
    found = measured("compare", "--quick", "--plot", str(chart), file=tmp_path / "compare.json")
    others: dict[str, set[str]] = {}
    for row in found["rows"]:
        assert row["low"] <= row["ratio"] <= row["high"]
        others.setdefault(row["versus"], set()).add(row["name"])
    backlog, job = "receive a backlog", "start a job, get its result, p50"
    assert others["redis-py"] - others["FastStream"] == {backlog}
    assert job in others["docket"] - others["redis-py"]
    assert chart.stat().st_size > 10_000


def test_costs_grow_along_an_axis(tmp_path: Path) -> None:
    """What one costs is told at each size up to the largest, and drawn."""
    chart = tmp_path / "chart.png"
    words = ("--axes", "excluded keys", "--largest", "100", "--plot", str(chart))
    found = measured("scale", *words, file=tmp_path / "scale.json")
    costs = found["axes"]["excluded keys"]
    assert set(costs) == {"1", "100"}
    assert all(each["receive: client, us"] > 0 for each in costs.values())
    assert chart.stat().st_size > 10_000


def test_more_primaries_have_a_connection_each(tmp_path: Path) -> None:
    """A send is measured on clusters of each size, and each primary has one connection."""
    found = measured(
        "scale.primaries", "--quick", "--sends", "600", file=tmp_path / "primaries.json"
    )
    rows = {row["name"]: row for row in found["rows"]}
    for primaries in (3, 6):
        for figure in ("processor time of the client", "time in the script", "reads from sockets"):
            row = rows[f"{figure}, {primaries} primaries"]
            assert 0 < row["low"] <= row["ratio"] <= row["high"]
    connections = [row for name, row in rows.items() if name.startswith("connections")]
    assert [(row["low"], row["high"]) for row in connections] == [(1, 1)] * 3


def test_a_line_of_growth_leaves_out_what_was_not_measured() -> None:
    """A cost that says something only from some size on has a line that begins there."""
    growth = Growth(name="things", costs={1: {"a": 1.0}, 10: {"a": 2.0, "b": 5.0}})
    assert growth.names() == ["a", "b"]
    assert growth.line("b") == {10: 5.0}


def test_the_sampler_sees_what_takes_the_time() -> None:
    """The function that computes has most of the samples."""
    with sampled() as samples:
        _compute()
    (name, share), *_ = samples.costliest(1).items()
    assert name == "test_programs._compute"
    assert share > 0.5


def _compute() -> None:
    total = 0
    for number in range(8_000_000):
        total += number
