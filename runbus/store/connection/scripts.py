"""The Lua scripts: each a typed function over a `.lua` file that documents its own wire form.

A script is called by its SHA-1 (EVALSHA). A server that does not know it, after a restart or a
SCRIPT FLUSH, executes nothing and says NOSCRIPT: then the script is loaded and called again.
"""

from __future__ import annotations

import asyncio
from functools import cache, cached_property
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from hiredis import ReplyError

from runbus.protocol import states
from runbus.store.connection.connection import settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbus.protocol.entries import Writable
    from runbus.store.connection.connection import Command, Connection, OnReply


class Script:
    """One script. Its file may need functions that stand in others, the parts.

    The files are read at the first use: a program that imports runbus may never connect.
    """

    def __init__(self, name: str, *parts: str, allow_oom: bool = False) -> None:
        """`allow_oom`: it may run when the server's memory is full."""
        self.name = name
        """Of its file."""
        self._files = (*parts, name)
        self._allow_oom = allow_oom

    @cached_property
    def source(self) -> str:
        """What the server executes."""
        flags = ("#!lua flags=allow-oom",) if self._allow_oom else ()
        return "\n".join((*flags, *map(_read, self._files)))

    @cached_property
    def sha(self) -> str:
        """The SHA-1 of the source, by which servers know it."""
        return sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def command(self, call: Command) -> Command:
        """Return the command that calls the script with what one of the functions below made."""
        return ("EVALSHA", self.sha, *call)

    def run(self, connection: Connection, call: Command, on_reply: OnReply) -> None:
        """Call the script with what one of the functions below made."""
        command = self.command(call)

        def check(reply: Any) -> None:
            if is_unknown(reply):
                loaded: list[Any] = []
                connection.send(("SCRIPT", "LOAD", self.source), loaded.append)
                connection.send(command, lambda again: on_reply(_explained(again, loaded)))
            else:
                on_reply(reply)

        connection.send(command, check)

    def call(self, connection: Connection, call: Command) -> asyncio.Future[Any]:
        """Call the script and return a future of its reply. An error reply is raised."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.run(connection, call, lambda reply: settle(future, reply))
        return future


@cache
def _read(name: str) -> str:
    text = (files("runbus.store") / "lua" / f"{name}.lua").read_text("utf-8")
    return f"{_tables()}\n{text}" if name == "states" else text


def _tables() -> str:
    """Return the table of states, as scripts have it."""
    types = {name: repr(str(type_)) for name, type_ in states.TYPES.items()}
    final = dict.fromkeys(sorted(states.FINAL), "true")
    moves = {
        name: repr(f",{','.join(sorted(following))},") for name, following in states.MOVES.items()
    }
    tables = {"TYPES": types, "FINAL": final, "MOVES": moves}
    return "\n".join(
        f"local {name} = {{ {', '.join(f'{key} = {value}' for key, value in table.items())} }}"
        for name, table in tables.items()
    )


def is_unknown(reply: Any) -> bool:
    """Whether a server has forgotten the script that was called."""
    return isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT")


def _explained(reply: Any, loaded: list[Any]) -> Any:
    # Why the script could not be loaded (NOPERM, say) tells more than that it is not there.
    failed = is_unknown(reply) and loaded and isinstance(loaded[0], ReplyError)
    return loaded[0] if failed else reply


_RUN = ("states", "epochs")
_OWNED = (*_RUN, "leases", "endings", "crashes")

SEND = Script("send")
MARK_READ = Script("mark_read", "states")
CREATE_RUN = Script("create_run", *_RUN, "leases")
CLAIM_RUN = Script("claim_run", *_RUN, "leases")
ADOPT_RUN = Script("adopt_run", *_RUN, "leases")
MOVE_RUN = Script("move_run", *_OWNED)
END_RUN = Script("end_run", *_OWNED, allow_oom=True)
END_LARGE_RUN = Script("end_run", *_OWNED)
"""The same for a result that is too large to be stored when the memory is full."""
RESUME_RUN = Script("resume_run", "states")
RENEW_LEASE = Script("renew_lease", allow_oom=True)
RECOVER_RUNS = Script("recover_runs", *_OWNED)
RELEASE_RUN = Script("release_run", *_OWNED, allow_oom=True)
CHECK_OWNER = Script("check_owner", *_OWNED, "owner")
RESET_CRASHES = Script("reset_crashes", "crashes", allow_oom=True)
OPEN_PAUSE = Script("open_pause", *_OWNED, "answer")
CLOSE_PAUSE = Script("close_pause", *_OWNED, "owner", "closings", "answer")
EXPIRE_PAUSES = Script("expire_pauses", "states", "closings")
REPAIR_INDEX = Script("repair_index", *_OWNED)
REFUSE_ANSWER = Script("refuse_answer", *_OWNED)
READ_PENDING = Script("read_pending")
LIST_RUNS = Script("list_runs")
OLDEST_WAIT = Script("oldest_wait")
ALL = (
    *(SEND, MARK_READ),
    *(CREATE_RUN, CLAIM_RUN, ADOPT_RUN, MOVE_RUN, END_RUN, END_LARGE_RUN, RESUME_RUN),
    *(RENEW_LEASE, RECOVER_RUNS, RELEASE_RUN, CHECK_OWNER, RESET_CRASHES, REPAIR_INDEX),
    *(LIST_RUNS, OLDEST_WAIT),
    *(OPEN_PAUSE, CLOSE_PAUSE, EXPIRE_PAUSES, REFUSE_ANSWER, READ_PENDING),
)


def load(connection: Connection) -> None:
    """Load all scripts on a new connection, so that the first calls need not be repeated."""
    for script in ALL:
        # Where it is not allowed, the call that follows tells.
        connection.send(("SCRIPT", "LOAD", script.source), lambda _: None)


def send(
    *,
    keys: tuple[str, str, str, str],
    name: str,
    inputs: Sequence[Writable],
    marks: bool,
    max_length: int,
    max_bytes: int,
    lifetime_ms: int,
    renew: bool,
    scan_from: str = "",
    scan_to: str = "",
) -> Command:
    """Make a call of `SEND`. Its inputs are stored with the fields that `read_entry` reads."""
    call: list[Any] = [4, *keys, name, max_length, max_bytes, lifetime_ms]
    call += (int(renew), int(marks), scan_from, scan_to)
    for item in inputs:
        call += (item.key, item.sender or "", item.value)
    return tuple(call)


def mark_read(*, keys: tuple[str, str, str], name: str, count: int, lifetime_ms: int) -> Command:
    """Make a call of `MARK_READ`."""
    return (3, *keys, name, count, lifetime_ms)
