"""Writes `script_calls`, from the headers of the scripts.

    python -m runbus.store.connection.generate_script_calls

A test compares the file with what this makes.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from runbus.store.connection import scripts
from runbus.store.connection.script_source import header_of

if TYPE_CHECKING:
    from runbus.store.connection.script_header import Argument, Tail

FILE = Path(__file__).with_name("script_calls.py")
_WIDTH, _INDENT = 100, " " * 4
_TYPES = {
    "text": "str",
    "bytes": "str | bytes",
    "score": "str",
    "number": "int",
    "ms": "int",
    "flag": "bool",
    "run id": "UUID",
}
_OPENING = '''\
"""Calls of the Lua scripts: a function for each, which makes what follows `EVALSHA` and the SHA-1.

Made from the headers of the scripts by `python -m runbus.store.connection.generate_script_calls`.
What the keys and arguments are stands in the header of the script, `lua/<name>.lua`.
"""

# fmt: off

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from runbus.protocol.ids import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from runbus.store.connection.connection import Command
'''


def text() -> str:
    """Return what the file is to have."""
    names = sorted({script.name for script in scripts.ALL})
    return "\n\n".join((_OPENING, *map(_function, names)))


def _function(name: str) -> str:
    header = header_of(name)
    parameters = [f"{key}: str" for key in header.keys]
    parameters += map(_parameter, header.arguments)
    values = [str(len(header.keys)), *header.keys, *map(_value, header.arguments)]
    if header.tail is not None:
        parameters.append(_tail_parameter(header.tail))
        values.append(_tail_value(header.tail))
    lines = (
        _enclosed(f"def {name}(", ["*", *parameters], ") -> Command:"),
        f'    """{header.summary}"""',
        _enclosed("    return (", values, ")"),
    )
    return "\n".join(lines) + "\n"


def _enclosed(opening: str, words: list[str], closing: str) -> str:
    line = opening + ", ".join(words) + closing
    if len(line) <= _WIDTH:
        return line
    margin = " " * (len(opening) - len(opening.lstrip()))
    # What stands between commas is not broken.
    text = ", ".join(word.replace(" ", "\0") for word in words) + ","
    wrapped = fill(
        text, _WIDTH, initial_indent=margin + _INDENT, subsequent_indent=margin + _INDENT
    )
    return "\n".join((opening, wrapped.replace("\0", " "), margin + closing))


def _parameter(argument: Argument) -> str:
    type_ = _TYPES[argument.kind]
    if not argument.may_be_empty:
        return f"{argument.name}: {type_}"
    if "str" in type_:
        return f'{argument.name}: {type_} = ""'
    return f"{argument.name}: {type_} | None = None"


def _value(argument: Argument) -> str:
    value = _converted(argument.kind, argument.name)
    is_none = argument.may_be_empty and "str" not in _TYPES[argument.kind]
    return f'"" if {argument.name} is None else {value}' if is_none else value


def _converted(kind: str, name: str) -> str:
    return {"flag": f"int({name})", "run id": f"text_of({name})"}.get(kind, name)


def _tail_parameter(tail: Tail) -> str:
    types = [_TYPES[kind] for kind in tail.kinds]
    item = types[0] if len(types) == 1 else f"tuple[{', '.join(types)}]"
    return f"{tail.name}: Iterable[{item}]"


def _tail_value(tail: Tail) -> str:
    if len(tail.kinds) > 1:
        return f"*chain.from_iterable({tail.name})"
    return f"*map(text_of, {tail.name})" if tail.kinds == ("run id",) else f"*{tail.name}"


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
