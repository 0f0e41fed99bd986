"""Scripts and their calls: both have the names of the script's header, and nothing else."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runbus.store.connection import generate_script_calls, script_calls, scripts
from runbus.store.connection.script_header import read_header
from runbus.store.connection.script_source import header_of, parts_of, source_of, text_of

if TYPE_CHECKING:
    from servers import Server

SCRIPTS = sorted({script.name for script in scripts.ALL})
LUA = Path(str(files("runbus.store") / "lua"))
FILES = sorted(str(each.relative_to(LUA).with_suffix("")) for each in LUA.rglob("*.lua"))
PARTS = sorted({*FILES} - {*SCRIPTS})
MOST_LOCALS = 200
"""That a function of Lua may have, and a script is one."""


def words(text: str) -> set[str]:
    """The names in the body of a file: not in comments, and not in texts."""
    without = re.sub(r"--.*|'(?:\\.|[^'\\\n])*'", "", text)
    return {*re.findall(r"(?<![.\w])[A-Za-z_]\w*", without)}


def functions(name: str) -> set[str]:
    """The functions that a part defines."""
    return {*re.findall(r"^local function (\w+)", text_of(name), re.MULTILINE)}


def test_the_calls_are_those_of_the_headers() -> None:
    """Who changes a header makes the calls anew: `generate_script_calls` says how."""
    assert generate_script_calls.FILE.read_text("utf-8") == generate_script_calls.text()


def test_a_call_has_what_the_header_says_in_its_order() -> None:
    """A flag is 1 or 0, what may be left out is empty, and the tail comes last."""
    keys = ("runs", "active", "pending", "ended", "executing", "events")
    given = dict.fromkeys(keys, "key")
    call = script_calls.repair_index(
        **given, tag_base="t:", lifetime_ms=5, count=6, changes=True, run_ids=[]
    )
    assert call == (6, *given.values(), "t:", "", 5, 6, 1)
    inputs = [("a", "", b"1"), ("b", "me", b"2")]
    stored = script_calls.send(
        **dict.fromkeys(("run", "stream", "streams", "retried"), "key"),
        name="int",
        input_base="base:",
        max_unread=7,
        max_bytes=8,
        lifetime_ms=9,
        renew=False,
        mark_all=True,
        inputs=inputs,
    )
    assert stored[-8:] == ("", "", *inputs[0], *inputs[1])


@pytest.mark.parametrize("name", FILES)
def test_no_script_counts(name: str) -> None:
    """A file names its keys and arguments, and uses all that it names."""
    header, used = header_of(name), words(text_of(name))
    assert not used & {"KEYS", *(() if header.tail else ("ARGV",))}
    assert not re.search(r"ARGV\[\d", text_of(name))
    assert header.tail is None or f"{header.tail.name}_at" in used
    assert {*header.uses} <= used
    own = used.union(*(words(text_of(part)) for part in parts_of(name)))
    assert {*header.names} <= own


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_has_what_its_parts_use(name: str) -> None:
    """Every name that a part needs is a key or an argument, and none hides a part's function."""
    header, parts = header_of(name), parts_of(name)
    assert {use for part in parts for use in header_of(part).uses} <= {*header.names}
    defined = [function for part in parts for function in functions(part)]
    assert len({*defined, *header.names}) == len(defined) + len(header.names)
    assert (
        len(re.findall(r"^local ", source_of(name), re.MULTILINE)) + len(header.names) < MOST_LOCALS
    )


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_the_parts_whose_functions_it_calls(name: str) -> None:
    """Who calls a function of a part names that part, or one that has it."""
    called = {part for part in PARTS if part != name and functions(part) & words(text_of(name))}
    assert called <= {*parts_of(name)}
    unused = {part for part in header_of(name).parts if f"parts/{part}" not in called}
    assert not unused


@pytest.mark.parametrize("name", FILES)
def test_a_header_names_each_thing_once(name: str) -> None:
    """A name stands for one key or argument, and the first sentence says what is done."""
    header = header_of(name)
    assert len({*header.names}) == len(header.names)
    assert header.summary != "."


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("  run hash", "no `name"),
        ("  ...more (text)\n--   last (text)", "follows ...more"),
    ],
)
def test_a_header_that_cannot_be_read(line: str, error: str) -> None:
    """What is wrong is said, as it would go unnoticed in a comment."""
    with pytest.raises(ValueError, match=re.escape(error)):
        read_header(f"-- Do it.\n--\n-- Arguments:\n-- {line}\n")


@pytest.mark.parametrize("script", scripts.ALL, ids=lambda script: script.name)
def test_every_server_takes_every_script(server: Server, script: scripts.Script) -> None:
    """Each server compiles each script, and knows it by the SHA-1 that runbus calls."""
    with server.client() as client:
        assert client.script_load(script.source) == script.sha
