"""The rooms: a module imports from its own room and from those below, never upwards or in a circle.

Imports for types count like all others.
"""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import runbus

PACKAGE = Path(runbus.__file__).parent
ROOMS = [
    {"runbus.errors"},
    {"runbus.green_threads", "runbus.settings"},
    {"runbus.protocol"},
    {"runbus.forms"},
    {"runbus.supervision"},
    {"runbus.store.connection", "runbus.store.embedded"},
    {"runbus.store.topology"},
    {"runbus.store.receiving", "runbus.store.sending"},
    {"runbus.store"},
    {"runbus.store.records"},
    {"runbus.store.maintenance"},
    {"runbus.store.admin"},
    {"runbus.background"},
    {"runbus.monitoring"},
    {"runbus.execution"},
    {"runbus.worker"},
    {"runbus"},
    {"runbus.cli", "runbus.web"},
    {"runbus.__main__"},
]
"""From the lowest to the highest; those that stand beside each other do not import each other.

`runbus.store` is what lies at its root, `runbus` are the public faces.
"""


def name_of(path: Path) -> str:
    """The dotted name of a module's file."""
    parts = ("runbus", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(path: Path) -> set[str]:
    """The names that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules_of(name: str) -> set[str]:
    """The modules of this package that a module imports."""
    found = {_module(imported) for imported in imports_of(MODULES[name])}
    return found - {"", name}


def _module(imported: str) -> str:
    while imported and imported not in MODULES:
        imported = imported.rpartition(".")[0]
    return imported


def room_of(name: str) -> str:
    """The room that a module is in: the innermost that is drawn."""
    while not any(name in rooms for rooms in ROOMS):
        name = name.rpartition(".")[0]
    return name


def height_of(room: str) -> int:
    return next(height for height, rooms in enumerate(ROOMS) if room in rooms)


def is_in(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_downwards(name: str) -> None:
    """No module imports from a room above its own or from one beside it."""
    own = room_of(name)
    others = {each for each in modules_of(name) if room_of(each) != own}
    assert not {each for each in others if height_of(room_of(each)) >= height_of(own)}


def test_every_room_is_there() -> None:
    """What is drawn is what there is."""
    assert {room_of(name) for name in MODULES} == set.union(*ROOMS)


@pytest.mark.parametrize("name", [n for n, path in MODULES.items() if path.stem == "__init__"])
def test_every_room_opens_with_what_lives_there(name: str) -> None:
    """Who comes in reads a sentence at least."""
    told = ast.get_docstring(ast.parse(MODULES[name].read_text())) or ""
    assert len(told) > 50


def test_no_two_files_are_in_a_circle() -> None:
    """A module can be understood with what it imports, and without what imports it."""
    graph = {name: modules_of(name) for name in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("name", MODULES)
def test_only_the_store_imports_redis(name: str) -> None:
    """Redis is spoken in one room."""
    clients = {each.partition(".")[0] for each in imports_of(MODULES[name])} & {"redis", "hiredis"}
    assert not clients or is_in(name, "runbus.store")


PURE = [path for room in ("forms", "protocol") for path in sorted((PACKAGE / room).glob("*.py"))]


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_forms_and_the_protocol_are_pure(path: Path) -> None:
    """They have no clock, no `await` and no sockets."""
    assert not {name.partition(".")[0] for name in imports_of(path)} & {
        "asyncio", "anyio", "random", "socket", "threading", "time",
    }  # fmt: skip
    tree = ast.walk(ast.parse(path.read_text()))
    assert not [node for node in tree if isinstance(node, ast.AsyncFunctionDef | ast.Await)]


@pytest.mark.parametrize("name", MODULES)
def test_only_supervision_makes_tasks(name: str) -> None:
    """A task that nobody keeps ends when it is collected, and its error is never seen."""
    called = {
        node.attr for node in ast.walk(ast.parse(MODULES[name].read_text()))
        if isinstance(node, ast.Attribute)
    }  # fmt: skip
    assert is_in(name, "runbus.supervision") or not called & {"create_task", "ensure_future"}
