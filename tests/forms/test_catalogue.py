"""The catalogue: texts about values stand there, and nowhere else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import runbus
from runbus.forms import catalogue
from runbus.web import templating

HERE = Path(runbus.__file__).parent
SOURCES = [
    *(each for each in (HERE / "forms").glob("*.py") if each.stem not in {"catalogue", "title"}),
    *(HERE / "cli" / name for name in ("prompt.py", "form_prompts.py")),
    *(HERE / "web").glob("form_*.py"),
]
SENTENCE = re.compile(r"\b(it (is|must|has|needs|does)|at (least|most) |must be|type a|write )\b")


def sentences(path: Path) -> list[str]:
    """The texts in a module that people are told: no docstrings, and none of our own errors."""
    tree = ast.parse(path.read_text())
    ours = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        or (isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"ValueError", "Failed"})
        for part in ast.walk(node)
        if isinstance(node, ast.Call) or isinstance(getattr(node, "value", None), ast.Constant)
    }
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [
        node.value
        for node in texts
        if isinstance(node.value, str) and id(node) not in ours and SENTENCE.search(node.value)
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_module_has_sentences_of_its_own(path: Path) -> None:
    """What is told of a value that does not fit is looked up."""
    assert sentences(path) == []


def test_the_script_of_the_page_says_what_the_server_says() -> None:
    """Its sentences come with the form: it names them, and has none."""
    script = (HERE / "web" / "static" / "forms.js").read_text()
    named = set(re.findall(r"(?:words\(|say\(control.form, )\"(\w+)\"", script)) | {
        "character",
        "characters",
    }
    assert named == catalogue.IN_A_BROWSER.keys()
    assert not re.search(r"\bmust\b|[Aa]t least|is not JSON", re.sub(r"//.*", "", script))
    filled = re.findall(r"{(\w+)}", " ".join(catalogue.IN_A_BROWSER.values()))
    assert set(filled) <= {"bound", "count", "things", "pattern", "why"}
    assert "data-words" in (HERE / "web" / "templates" / "_fields.html").read_text()
    assert templating._environment().globals["browser_words"]
