"""`runbus doctor`: what is wrong with the server, and what to do about it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.text import Text

from runbus import get_client
from runbus.cli import output
from runbus.cli.exits import DONE, FAILED
from runbus.cli.terminal import is_terminal, working
from runbus.protocol.printed import one_line

if TYPE_CHECKING:
    from runbus.store.admin.report import Check

_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("?", "yellow")}
_WORDS = {True: "ok", False: "wrong", None: "unknown"}


async def doctor(
    *,
    repair: Annotated[
        bool, Parameter(help="Put right first what the indexes of runs say, as their records do.")
    ] = False,
    json: output.Json = False,
) -> int:
    """Check the server: its version, persistence, eviction, clock, leases, indexes.

    The exit code is 1 when something is wrong.
    """
    repaired: dict[str, int] = {}
    if repair:
        with working("Looking at all runs"):
            repaired = {"repaired": await get_client().repair_indexes()}
    with working("Looking at the server"):
        report = await get_client().server_report()
    if json:
        shown = {"ok": report.ok, "address": report.address, "checks": report.checks}
        output.json(shown | repaired)
    else:
        for count in repaired.values():
            output.line(f"entries of indexes put right: {count}")
        for check in report.checks:
            _show(check)
    return DONE if report.ok else FAILED


def _show(check: Check) -> None:
    if not is_terminal(sys.stdout):
        words = [_WORDS[check.ok], check.name, check.found, check.advice]
        output.line("\t".join(map(one_line, words)).rstrip("\t"))
        return
    mark, colour = _MARKS[check.ok]
    text = Text(f"{mark} ", colour).append(one_line(check.name), "bold default")
    output.line(text.append(f"  {one_line(check.found)}", "not bold default"))
    if check.advice:
        output.line(f"    {one_line(check.advice)}", "dim" if check.ok else "")
