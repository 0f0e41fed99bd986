"""The layers: a module imports from its own layer and from those below, and not upwards."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import runbus

PACKAGE = Path(runbus.__file__).parent
BELOW_ALL = {"runbus.errors", "runbus.green_threads", "runbus.settings"}
LAYERS = [
    {"runbus.protocol"},
    {"runbus.forms"},
    {"runbus.supervision"},
    {"runbus.store"},
    {"runbus.background", "runbus.background.call", "runbus.background.bridge"},
    {
        "runbus.background.caller",
        "runbus.execution.current_run",
        "runbus.execution.run_context",
        "runbus.execution.held_sends",
        "runbus.input",
        "runbus.flow_runs",
    },
    {"runbus"},
    {"runbus.cli", "runbus.__main__", "runbus.web"},
]
DOORS = ("runbus.cli", "runbus.web")
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """The dotted name of a module's file."""
    parts = ("runbus", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer_of(name: str) -> int:
    """The layer of a module: 0 below all, then 1 for the lowest of `LAYERS`."""
    if any(is_in(name, module) for module in BELOW_ALL):
        return 0
    for number, layer in reversed(list(enumerate(LAYERS, 1))):
        if any(is_in(name, module) for module in layer - {"runbus"}):
            return number
    return LAYERS.index({"runbus"}) + 1  # a public name, from `runbus` itself


def is_in(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_downwards(path: Path) -> None:
    """No module imports from a layer above its own, and the doors do not import each other."""
    own = layer_of(name_of(path))
    upwards = {name for name in imports_of(path) if is_in(name, "runbus") and layer_of(name) > own}
    assert not upwards


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_store_imports_redis(path: Path) -> None:
    """Redis is spoken in one layer."""
    clients = {name for name in imports_of(path) if name.partition(".")[0] in {"redis", "hiredis"}}
    assert not clients or is_in(name_of(path), "runbus.store")


PURE = [path for room in ("forms", "protocol") for path in sorted((PACKAGE / room).glob("*.py"))]


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_forms_and_the_protocol_are_pure(path: Path) -> None:
    """They have no clock, no `await` and no sockets."""
    assert not {name.partition(".")[0] for name in imports_of(path)} & {
        "asyncio", "anyio", "random", "socket", "threading", "time",
    }  # fmt: skip
    tree = ast.walk(ast.parse(path.read_text()))
    assert not [node for node in tree if isinstance(node, ast.AsyncFunctionDef | ast.Await)]


@pytest.mark.parametrize("door", DOORS)
def test_doors_do_not_import_each_other(door: str) -> None:
    """The command line and the web page stand beside each other."""
    inside = [path for path in MODULES if is_in(name_of(path), door)]
    others = [other for other in DOORS if other != door]
    assert inside
    for path in inside:
        found = {name for name in imports_of(path) if any(is_in(name, other) for other in others)}
        assert not found, path
