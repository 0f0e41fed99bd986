"""The scrape, the alarms and the dashboard: they only ask for metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import prometheus_client
import pytest
import yaml

from runbus.monitoring.metrics import RunbusCollector

if TYPE_CHECKING:
    from servers import Server

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS: dict[str, Any] = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
BOARD: dict[str, Any] = json.loads((DEPLOY / "grafana.json").read_text())


def exposed() -> set[str]:
    """The names of all metrics that a process tells."""
    registry = prometheus_client.CollectorRegistry()
    registry.register(RunbusCollector())
    text = prometheus_client.generate_latest(registry).decode()
    kinds: dict[str, str] = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    parts = {
        f"{name}_{part}"
        for name, kind in kinds.items()
        for part in ("bucket", "sum", "count")
        if kind == "histogram"
    }
    return {*kinds} | parts


def asked_for() -> set[str]:
    """The names of runbus's metrics in all expressions."""
    panels = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    rules = [rule["expr"] for rule in RULES]
    autoscaler = (DEPLOY / "kubernetes" / "autoscaler.yaml").read_text()
    scaled = re.findall(r"metric: \{name: (\w+)\}", autoscaler)
    return {*re.findall(r"\brunbus_\w+", " ".join([*panels, *rules, *scaled]))}


def test_only_what_is_told_is_asked_for(valkey: Server) -> None:
    """Dashboard, alarms and autoscaler name metrics of a process, and none is left out."""
    told, asked = exposed(), asked_for()
    assert asked <= told
    of_histogram = {"runbus_wake_seconds", "runbus_wake_seconds_sum", "runbus_wake_seconds_count"}
    assert told - asked <= of_histogram


def test_the_dashboard_is_whole() -> None:
    """Each panel has a place of its own, a source that can be chosen, and says what it shows."""
    places = [tuple(panel["gridPos"].values()) for panel in BOARD["panels"]]
    assert len({*places}) == len(places)
    assert all(x + width <= 24 for x, _, width, _ in places)
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(places)
    (source,) = BOARD["templating"]["list"]
    for panel in BOARD["panels"]:
        assert panel["datasource"]["uid"] == f"${{{source['name']}}}"
        assert panel["title"]


def test_every_alarm_is_in_the_runbook() -> None:
    """Whoever is woken finds what to do under the alarm's own name."""
    runbook = (DEPLOY / "README.md").read_text()
    for rule in RULES:
        assert f"### {rule['alert']}" in runbook
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_prometheus_reads_the_alarms() -> None:
    """The scrape names the file of alarms, and every job asks a process of runbus."""
    config = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())
    assert config["rule_files"] == ["alerts.yaml"]
    assert all(job["job_name"].startswith("runbus") for job in config["scrape_configs"])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool here")
def test_prometheus_takes_the_files(tmp_path: Path) -> None:
    """`promtool` finds nothing wrong with the scrape and the alarms."""
    config = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())
    for job in config["scrape_configs"]:
        job.pop("kubernetes_sd_configs", None)  # which Debian's Prometheus is built without
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
    shutil.copy(DEPLOY / "alerts.yaml", tmp_path)
    for what, name in (("config", "prometheus.yaml"), ("rules", "alerts.yaml")):
        command = ["promtool", "check", what, str(tmp_path / name)]
        subprocess.run(command, check=True, capture_output=True)
