"""The text of a Lua script, as servers execute it: put together from its file and its parts.

First come the script's keys and arguments under the names of its header, so that neither the body
nor a part counts them; a flag is true or false. Of the tail come the places in ARGV, `<name>_at` of
the first thing and `<name>_step` to the next: a table of them all would be a twentieth of the time
that a send takes. Then the parts, each after those that it has itself; then the script's file.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from runbus.protocol import states
from runbus.store.connection.script_header import read_header

if TYPE_CHECKING:
    from runbus.store.connection.script_header import Header

_PARTS = "parts/"
_STATES = f"{_PARTS}states"


@cache
def header_of(name: str) -> Header:
    """Return the header of a script, or of a part (`parts/<name>`). Raises `ValueError`."""
    return read_header(text_of(name))


@cache
def text_of(name: str) -> str:
    """Return what a file has."""
    return (files("runbus.store") / "lua" / f"{name}.lua").read_text("utf-8")


def source_of(name: str) -> str:
    """Return what servers execute."""
    parts = parts_of(name)
    tables = (_tables(),) if _STATES in parts else ()
    return "\n".join((_prelude(header_of(name)), *tables, *map(text_of, (*parts, name))))


def parts_of(name: str) -> list[str]:
    """Return all parts of a script, each after those that it needs itself."""
    found: dict[str, None] = {}
    for part in (f"{_PARTS}{each}" for each in header_of(name).parts):
        found.update(dict.fromkeys((*parts_of(part), part)))
    return list(found)


def _prelude(header: Header) -> str:
    names = [*header.names]
    values = [f"KEYS[{place}]" for place, _ in enumerate(header.keys, 1)]
    values += [
        f"ARGV[{place}]" + (" == '1'" if each.kind == "flag" else "")
        for place, each in enumerate(header.arguments, 1)
    ]
    if header.tail is not None:
        names += (f"{header.tail.name}_at", f"{header.tail.name}_step")
        values += (f"{len(header.arguments) + 1}", f"{len(header.tail.kinds)}")
    return f"local KEYS, ARGV = KEYS, ARGV\nlocal {', '.join(names)} = {', '.join(values)}"


@cache
def _tables() -> str:
    """Return the table of states, as scripts have it."""
    final = dict.fromkeys(sorted(states.FINAL), "true")
    moves = {
        name: repr(f",{','.join(sorted(following))},") for name, following in states.MOVES.items()
    }
    types = {name: repr(str(type_)) for name, type_ in states.TYPES.items()}
    tables = {"TYPES": types, "FINAL": final, "MOVES": moves}
    return "\n".join(
        f"local {name} = {{ {', '.join(f'{key} = {value}' for key, value in table.items())} }}"
        for name, table in tables.items()
    )
