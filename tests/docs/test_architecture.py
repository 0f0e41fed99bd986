"""`docs/architecture.md` says what is so: rooms, keys, states, and the names on each walk."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest
from tables import ARCHITECTURE, MADE, key_rows, made
from test_layers import ROOMS

from runbus.protocol.keys import Keys

if TYPE_CHECKING:
    from pathlib import Path

TEXT = ARCHITECTURE.read_text()
OF_KEYS = {"of_run", "of_tag"}
"""What keys begin with, which is no key."""
STEPS = re.findall(
    r"^\| \[.+?\]\((\S+?)\)(?:: `([\w.]+)`)? \|(?: ((?:`[\w.]+` ?)+)\|)?", TEXT, re.MULTILINE
)
ROWS = re.findall(r"^\| ((?:`runbus[\w.]*` ?)+)\|", TEXT, re.MULTILINE)


def test_the_rooms_are_drawn_in_the_order_of_their_imports() -> None:
    """The drawing has the rooms that the imports are held to, from the highest to the lowest."""
    drawn = [set(re.findall(r"`(runbus[\w.]*)`", row)) for row in ROWS]
    assert drawn == ROOMS[::-1]


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_of_the_code_is_of_this_state(name: str) -> None:
    """It is what the code says now. Else: `python tests/docs/tables.py`."""
    assert made(TEXT)[name] == MADE[name]()


def test_no_key_is_left_out() -> None:
    """Each function that makes a key says of what type it is, and so has a row."""
    functions = {name for name, each in vars(Keys).items() if callable(each) and name[0] != "_"}
    assert key_rows().keys() == functions - OF_KEYS


def defined_in(path: Path) -> set[str]:
    """The names that a file defines: functions, classes, and methods behind their class."""
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    top = [each for each in tree.body if isinstance(each, kinds)]
    methods = {
        f"{owner.name}.{each.name}"
        for owner in top
        if isinstance(owner, ast.ClassDef)
        for each in owner.body
        if isinstance(each, kinds)
    }
    return {each.name for each in top} | methods


@pytest.mark.parametrize(("path", "name", "names"), STEPS)
def test_the_names_on_a_walk_are_in_the_linked_file(path: str, name: str, names: str) -> None:
    """Whoever follows a row finds there what it names."""
    named = {*re.findall(r"[\w.]+", names), *filter(None, [name])}
    file = ARCHITECTURE.parent / path
    assert not named or named <= defined_in(file)


def test_there_are_four_walks() -> None:
    """Each of the four has its steps."""
    walks = TEXT.partition("## Four walks")[2].partition("## Keys")[0].split("\n### ")[1:]
    assert len(walks) == 4
    assert all(walk.count("\n| ") > 4 for walk in walks)
