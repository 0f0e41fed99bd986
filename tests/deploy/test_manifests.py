"""Compose file, Kubernetes manifests and systemd units: well-formed, and in tune with the code."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose

from runbus.settings import Settings
from runbus.worker.worker import GRACE_SECONDS, HAND_BACK_SECONDS

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = "1.31"
MARGIN_SECONDS = 5.0
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def manifests() -> list[dict[str, Any]]:
    """All objects that the kustomization names."""
    folder = DEPLOY / "kubernetes"
    files = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    assert {*files} == {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
    return [
        each for name in files for each in yaml.safe_load_all((folder / name).read_text()) if each
    ]


def names_of(objects: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def test_manifests_fit_the_schemas_of_kubernetes() -> None:
    """Each object is what its kind allows, with no field that there is not."""
    for each in manifests():
        kubernetes_validate.validate(each, KUBERNETES, strict=True)


def test_manifests_fit_together() -> None:
    """Ports that probes, services and policies name are there, and so is what is scaled."""
    objects = manifests()
    deployments = names_of(objects, "Deployment")
    for each in deployments.values():
        (container,) = each["spec"]["template"]["spec"]["containers"]
        ports = {port["name"] for port in container["ports"]}
        for probe, path in (("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
            assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}
        assert "metrics" in ports
        labels = each["spec"]["template"]["metadata"]["labels"]
        assert each["spec"]["selector"]["matchLabels"].items() <= labels.items()
        policy = names_of(objects, "NetworkPolicy")[each["metadata"]["name"]]["spec"]
        assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} <= ports
    scaler = names_of(objects, "HorizontalPodAutoscaler")["runbus-worker"]["spec"]
    assert scaler["scaleTargetRef"]["name"] in deployments
    assert "replicas" not in deployments["runbus-worker"]["spec"]
    backend = names_of(objects, "Ingress")["runbus-web"]["spec"]["rules"][0]["http"]["paths"][0]
    assert backend["backend"]["service"]["name"] in names_of(objects, "Service")


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl here")
def test_the_kustomization_can_be_built() -> None:
    """`kubectl kustomize` puts it together; every object gets the namespace."""
    command = ["kubectl", "kustomize", str(DEPLOY / "kubernetes")]
    built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for each in yaml.safe_load_all(built):
        assert each["kind"] == "Namespace" or each["metadata"]["namespace"] == "runbus"


def test_the_compose_file_fits_the_specification() -> None:
    """It is what the Compose Specification allows, and names nothing that is not there."""
    PyCompose.from_yaml(yaml.safe_dump(COMPOSE)).validate()  # without YAML's own references
    for service in COMPOSE["services"].values():
        for mount in service.get("volumes", []):
            source = mount.partition(":")[0]
            assert source in COMPOSE["volumes"] or (DEPLOY / source).exists()


def test_the_secrets_are_those_that_are_made() -> None:
    """Each file that Compose mounts is one that `make-secrets.sh` writes."""
    made = {"users.acl", "worker.toml", "web.toml", "sender.toml", "reader.toml", "web-tokens"}
    assert {Path(each["file"]).name for each in COMPOSE["secrets"].values()} <= made
    assert "secrets/" in (DEPLOY / ".gitignore").read_text()


def test_a_worker_has_time_to_end() -> None:
    """Whoever stops a worker waits for longer than it gives its runs."""
    needed = GRACE_SECONDS + HAND_BACK_SECONDS + MARGIN_SECONDS
    pod = names_of(manifests(), "Deployment")["runbus-worker"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= needed
    assert int(COMPOSE["services"]["worker"]["stop_grace_period"].removesuffix("s")) >= needed
    unit = (DEPLOY / "systemd" / "runbus-worker@.service").read_text()
    found = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert found is not None
    assert int(found[1]) >= needed


def test_every_setting_is_one_that_there_is() -> None:
    """A `RUNBUS_*` that files set or programs read is a setting's name."""
    known = {f"RUNBUS_{name.upper()}" for name in Settings.model_fields}
    known |= {"RUNBUS_CONFIG", "RUNBUS_SITE", "RUNBUS_SCHEME", "RUNBUS_COMMAND"}
    for path in DEPLOY.rglob("*"):
        if path.is_file() and "pictures" not in path.parts:
            assert {*re.findall(r"\bRUNBUS_[A-Z_]+\b", path.read_text())} <= known, path


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_units_are_what_systemd_takes(tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing, once the programs are where this machine has them."""
    program = re.compile(r"^ExecStart=\S+", re.MULTILINE)
    for unit in UNITS:
        text = program.sub("ExecStart=/bin/true", unit.read_text())
        (tmp_path / unit.name).write_text(text)
    command = ["systemd-analyze", "verify", *(str(tmp_path / unit.name) for unit in UNITS)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_image_has_what_its_programs_need() -> None:
    """It is made of files that there are, and is not run as root."""
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.search(r"^USER [1-9]\d*$", text, re.MULTILINE)
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        for name in source.split():
            assert (DEPLOY.parent / name).exists(), name
