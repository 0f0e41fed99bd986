"""A release: the sdist and the wheel of a tag are whole, and work where nothing else is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from runbus import __version__

ROOT = Path(__file__).parent.parent
NAME = f"runbus-{__version__}"
LEFT_OUT = shutil.ignore_patterns(
    *("__pycache__", ".*_cache", ".venv", ".git", "results", "dist", "build", "secrets")
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources."""
    return Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("sources") / NAME, ignore=LEFT_OUT))


@pytest.fixture(scope="module")
def built(sources: Path) -> Path:
    """The directory with both files; the wheel is built from the sdist."""
    directory = sources.parent
    build(sources, "sdist", directory)
    with tarfile.open(directory / f"{NAME}.tar.gz") as archive:
        archive.extractall(directory / "unpacked", filter="data")
    build(directory / "unpacked" / NAME, "wheel", directory)
    return directory


def build(where: Path, target: str, directory: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(directory)]
    subprocess.run(command, cwd=where, check=True, capture_output=True)


def files_of(folder: Path) -> set[str]:
    """The files of a folder that belong to the package, as the wheel names them."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder.parent)) for path in found if path.suffix != ".pyc"}


def test_the_wheel_has_the_whole_package_and_nothing_else(sources: Path, built: Path) -> None:
    """Scripts, templates and static files too; no tests."""
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == files_of(sources / "runbus")


def test_the_sdist_has_what_its_documents_link_to(built: Path) -> None:
    """Tests, benchmarks, documents and the files to deploy with."""
    unpacked = built / "unpacked" / NAME
    for folder in ("tests", "benchmarks", "docs", "deploy"):
        assert files_of(ROOT / folder) - files_of(unpacked / folder) <= {
            path for path in files_of(ROOT / folder) if "results" in path or "secrets" in path
        }


def test_the_wheel_works_without_the_sources(built: Path, tmp_path: Path) -> None:
    """Another Python finds the package in the wheel alone, and so does the command."""
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as wheel:
        wheel.extractall(tmp_path / "site")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}

    def told(*arguments: str) -> str:
        command = [sys.executable, "-W", "error", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert told("-c", "import runbus; print(runbus.__file__)").startswith(str(tmp_path))
    assert told("-m", "runbus", "--version") == __version__
    assert len(told("-m", "runbus", "acl").splitlines()) > 1  # made of the scripts


def git(where: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=where, check=True, capture_output=True)


def release(where: Path, tag: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "UV": str(Path(sys.executable).with_name("uv"))}
    command = ["bash", str(where / ".ci" / "release"), tag]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")
def test_a_tag_is_released(sources: Path, tmp_path: Path) -> None:
    """What the tag holds is built and tried; one that does not fit leaves nothing behind."""
    tree = Path(shutil.copytree(sources, tmp_path / "tree", ignore=LEFT_OUT))
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "unreleased")
    git(tree, "tag", f"v{__version__}")
    git(tree, "tag", "v99.0.0")
    assert "there is no such tag" in release(tree, "v98.0.0").stderr
    assert "another version" in release(tree, "v99.0.0").stderr
    assert "no date" in release(tree, f"v{__version__}").stderr
    assert not (tree / "dist").exists()
    changelog = tree / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("(unreleased)", "(2026-12-24)", 1))
    git(tree, "commit", "-q", "-a", "-m", "released")
    git(tree, "tag", "-f", f"v{__version__}")
    (tree / "runbus" / "__init__.py").write_text("raise ImportError")  # what the tag does not hold
    done = release(tree, f"v{__version__}")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tree / "dist").iterdir()} == {
        f"{NAME}.tar.gz",
        f"{NAME}-py3-none-any.whl",
    }
    assert len(done.stdout.split()) == 4
