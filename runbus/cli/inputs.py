"""`runbus send` and `runbus inputs`: what runs are sent."""

from __future__ import annotations

import sys
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from runbus import get_client, send_input
from runbus.cli import json_output, output, times
from runbus.cli.arguments import json_or_text, read_words
from runbus.cli.exits import DONE, WrongCall
from runbus.cli.resume import user_name
from runbus.cli.terminal import is_terminal
from runbus.errors import InvalidRunId
from runbus.input.exact_numbers import ExactValue
from runbus.protocol.ids import parse_run_id
from runbus.protocol.printed import one_line
from runbus.protocol.types import name_of_value
from runbus.protocol.values import read_json

if TYPE_CHECKING:
    from uuid import UUID

    from runbus.protocol.stored_input import StoredInput

PAGE = 1000
_RUN_HELP = (
    "The run: its id, a unique beginning of it, or its name. A whole id may be another engine's."
)
Receiver = Annotated[str, Parameter(help=_RUN_HELP)]


async def send(
    run: Receiver,
    value: Annotated[
        str,
        Parameter(
            help="What to send: JSON where it is JSON, else a text; - is standard input.",
            allow_leading_hyphen=True,
        ),
    ],
    /,
    *,
    type: Annotated[  # noqa: A002
        str | None,
        Parameter(help="The name of the type that the run receives; that of the value by default."),
    ] = None,
    key: Annotated[
        str | None, Parameter(help="Stored once, however often it is sent with this key.")
    ] = None,
    sender: Annotated[
        str | None, Parameter(help="Who sends it; your user name by default.")
    ] = None,
    json: output.Json = False,
) -> int:
    """Send an input to a run."""
    run_id = await _receiver(run)
    words = read_words("VALUE", value) if value == "-" else value
    found = _value(words, type)
    name = type or ("float" if isinstance(found, Decimal) else name_of_value(found))
    sent = ExactValue(found)
    await send_input(sent, run_id, sender=sender or user_name(), key_prefix=name, key=key)
    if json:
        output.json({"id": run_id, "stream": name, "key": key, "value": sent.encode()})
    else:
        output.line(f"Sent to {one_line(run)} as {one_line(name)}.")
    return DONE


def _value(words: str, type_: str | None) -> Any:
    found = json_or_text("VALUE", words)
    if type_ == "str":
        return words if not isinstance(found, str) else found
    if found == words and words.lstrip()[:1] in {"{", "["}:
        raise WrongCall(f"{words!r:.80} is not JSON. If it is meant as a text, add --type str.")
    return found


async def inputs(
    run: Receiver,
    type: Annotated[str | None, Parameter(help="Only the inputs of this type.")] = None,  # noqa: A002
    /,
    *,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], help="Go on with those that come.")
    ] = False,
    json: output.JsonLines = False,
) -> int:
    """Print the inputs that a run was sent, the oldest first."""
    client = get_client()
    run_id = await _receiver(run)
    if follow:
        async for each in client.follow_inputs(run_id, type):
            _show(each, json=json)
        return DONE
    found = await _stored(run_id, type)
    if json:
        output.json(found)
    else:
        for each in found:
            _show(each, json=False)
        if not found and is_terminal(sys.stdout):
            output.note(await _nothing(run_id, type))
    return DONE


async def _nothing(run_id: UUID, stream: str | None) -> str:
    if stream is None:
        return "It was sent nothing yet."
    others = [each.name for each in await get_client().read_streams(run_id)]
    return f"It was sent no {stream}; it was sent {', '.join(others) or 'nothing'}."


async def _stored(run_id: UUID, stream: str | None) -> list[StoredInput]:
    found: list[StoredInput] = []
    after = None
    while page := await get_client().read_inputs(run_id, stream, after=after, limit=PAGE):
        found += page
        after = page[-1].id
        if len(page) < PAGE:
            break
    return found


def _show(found: StoredInput, *, json: bool) -> None:
    if json:
        output.json_line(found)
        return
    words = [found.key or found.id, found.stream, found.sender or "-"]
    value = json_output.shown(read_json(found.value))
    output.record(
        plain=[times.exact(found.time), *words, value],
        shown=Text(f"{times.clock(found.time)} {one_line('  '.join(words))} ", "dim").append(
            " " + value, "not dim"
        ),
    )


async def _receiver(text: str) -> UUID:
    with suppress(InvalidRunId):
        return parse_run_id(text)  # not looked for: another engine's runs have no record
    return (await get_client().find_flow_run(text)).id
