"""What the image installs is locked: by hashes, whole, and of no place in particular."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

DEPLOY = Path(__file__).parents[2] / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
PROJECT: dict[str, Any] = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())
LOCKS = {
    "requirements.txt": [f"{PROJECT['project']['name']}[all]"],
    "build.txt": PROJECT["build-system"]["requires"],
}
"""Of each lock, what it is made for."""
_PINNED = re.compile(
    r"^([\w.-]+)==(\S+)(?: ; [^\\]+)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)"
)
_ENVIRONMENT = {
    "python_version": "3.13",
    "python_full_version": "3.13.0",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "os_name": "posix",
}


def pins(name: str) -> dict[str, str]:
    """The packages of a lock and their versions. There is nothing else in it."""
    text, found = (DEPLOY / name).read_text(), {}
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    while text:
        pin = _PINNED.match(text)
        assert pin is not None, text.partition("\n")[0]
        found[canonicalize_name(pin[1])] = pin[2]
        text = text[pin.end() :]
    return found


def needs(requirement: Requirement) -> list[Requirement]:
    """What a package needs, as it is installed here; what is not is not known."""
    if requirement.name == PROJECT["project"]["name"]:
        parts = PROJECT["project"]["optional-dependencies"]
        texts = [*PROJECT["project"]["dependencies"]]
        for extra in requirement.extras:
            texts += parts[extra]
        return [Requirement(text) for text in texts]
    try:
        found = [Requirement(text) for text in requires(requirement.name) or ()]
    except PackageNotFoundError:
        return []
    extras = [*requirement.extras, ""]
    return [
        each
        for each in found
        if each.marker is None
        or any(each.marker.evaluate({**_ENVIRONMENT, "extra": extra}) for extra in extras)
    ]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_whole(name: str) -> None:
    """All that is needed is pinned, as it is needed. Else: `bash deploy/lock.sh`."""
    locked, seen = pins(name), set[str]()
    waiting = [Requirement(text) for text in LOCKS[name]]
    while waiting:
        requirement = waiting.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        if requirement.name != PROJECT["project"]["name"]:
            version = locked[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), requirement
        waiting += needs(requirement)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_place(name: str) -> None:
    """Where packages come from is the affair of who builds the image."""
    text = (DEPLOY / name).read_text()
    assert not re.search(r"://|index|find-links|/", text)


@pytest.mark.parametrize("name", LOCKS)
def test_the_image_installs_nothing_else(name: str) -> None:
    """Each lock is installed with its hashes, and the wheel without asking anybody."""
    assert f"--require-hashes -r {name}" in DOCKERFILE
    installs = re.findall(r"pip install(.*)", DOCKERFILE)
    assert all("--require-hashes" in each or "--no-index --no-deps" in each for each in installs)
