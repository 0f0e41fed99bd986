"""All documents: their links lead somewhere, and they are of their kind."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_OURS = {".venv", "node_modules", ".git", ".pytest_cache"}
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not NOT_OURS & {*path.relative_to(ROOT).parts} and "egg-info" not in str(path)
)
DECISIONS = ROOT / "docs" / "decisions"
HEADINGS = ["Context", "Decision", "Consequences", "What was tried or considered instead"]
GROUPS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
_LINK = re.compile(r"""\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)\"""")


def of_root(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(text: str) -> str:
    """A document without its code."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def anchors(text: str) -> set[str]:
    """What `#…` may name in a document: its headings, as they are shown on the web."""
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def links(path: Path) -> list[str]:
    """The relative links of a document."""
    found = [first or second for first, second in _LINK.findall(prose(path.read_text()))]
    return [each for each in found if not re.match(r"[a-z]+:", each)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=of_root)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    """The file is there, and the heading that the link names is in it."""
    for link in links(path):
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text()), link


def test_docs_are_markdown() -> None:
    """Nothing else is kept among them."""
    files = [path for path in (ROOT / "docs").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".md"}


@pytest.mark.parametrize("path", sorted(DECISIONS.glob("[!R]*.md")), ids=of_root)
def test_a_decision_says_what_it_decides_why_and_instead_of_what(path: Path) -> None:
    """Each has the same headings, and the list of decisions names it."""
    assert re.findall(r"^## (.*)$", path.read_text(), re.MULTILINE) == HEADINGS
    assert f"]({path.name})" in (DECISIONS / "README.md").read_text()


def test_the_changelog_is_in_sections() -> None:
    """Each version has groups of the usual names, in their order, and nothing outside of them."""
    versions = (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1:]
    for version in versions:
        heading, *groups = version.split("\n### ")
        assert re.fullmatch(r"\d+\.\d+\.\d+ \((unreleased|\d{4}-\d\d-\d\d)\)", heading.strip())
        names = [group.partition("\n")[0] for group in groups]
        assert names == [name for name in GROUPS if name in names]
        assert all(group.partition("\n")[2].strip().startswith("- ") for group in groups)


def commands() -> list[list[str]]:
    """The commands in the tables on how to contribute, as words."""
    text = (ROOT / "docs" / "contributing.md").read_text()
    rows = re.findall(r"^\| `(.+?)` \|", text, re.MULTILINE)
    return [shlex.split(part) for row in rows for part in row.split(" && ")]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_on_how_to_contribute_can_be_given(words: list[str]) -> None:
    """Its module, files and options are there."""
    named = [each for each in words if each.startswith(("tests/", "@tests/", ".ci/"))]
    assert all((ROOT / each.removeprefix("@")).exists() for each in named)
    module = words[words.index("-m") + 1] if "-m" in words else "pytest"
    if module != "pytest":
        place = ROOT / module.replace(".", "/")
        files = [*place.glob("*.py")] or [place.with_suffix(".py")]
        text = "".join(file.read_text() for file in files)
        options = [each for each in words if each.startswith("--")]
        assert all(f'"{option}"' in text for option in options)
