"""The Lua scripts of `store/lua`, and how they are called; `script_calls` makes the calls.

A script is called by its SHA-1 (EVALSHA). A server that does not know it, after a restart or a
SCRIPT FLUSH, executes nothing and says NOSCRIPT: then the script is loaded and called again.
"""

from __future__ import annotations

import asyncio
from functools import cached_property
from hashlib import sha1
from typing import TYPE_CHECKING

from hiredis import ReplyError

from runbus.store.connection.connection import settle
from runbus.store.connection.script_source import source_of

if TYPE_CHECKING:
    from runbus.store.connection.connection import Command, Connection, OnReply
    from runbus.store.connection.reply import Reply


class Script:
    """One script: a file of `store/lua`, whose header says what it is called with.

    The files are read at the first use: a program that imports runbus may never connect.
    """

    def __init__(self, name: str, *, allow_oom: bool = False) -> None:
        """`allow_oom`: it may run when the server's memory is full."""
        self.name = name
        """Of its file."""
        self._allow_oom = allow_oom

    @cached_property
    def source(self) -> str:
        """What the server executes."""
        flags = "#!lua flags=allow-oom\n" if self._allow_oom else ""
        return flags + source_of(self.name)

    @cached_property
    def sha(self) -> str:
        """The SHA-1 of the source, by which servers know it."""
        return sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def command(self, call: Command) -> Command:
        """Return the command that makes a call, which its function in `script_calls` made."""
        return ("EVALSHA", self.sha, *call)

    def run(self, connection: Connection, call: Command, on_reply: OnReply) -> None:
        """Make a call, which its function in `script_calls` made."""
        command = self.command(call)

        def check(reply: Reply) -> None:
            if is_unknown(reply):
                loaded: list[Reply] = []
                connection.send(("SCRIPT", "LOAD", self.source), loaded.append)
                connection.send(command, lambda again: on_reply(_explained(again, loaded)))
            else:
                on_reply(reply)

        connection.send(command, check)

    def call(self, connection: Connection, call: Command) -> asyncio.Future[Reply]:
        """Make a call and return a future of its reply. An error reply is raised."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.run(connection, call, lambda reply: settle(future, reply))
        return future


def is_unknown(reply: Reply) -> bool:
    """Whether a server has forgotten the script that was called."""
    return isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT")


def _explained(reply: Reply, loaded: list[Reply]) -> Reply:
    # Why the script could not be loaded (NOPERM, say) tells more than that it is not there.
    failed = is_unknown(reply) and loaded and isinstance(loaded[0], ReplyError)
    return loaded[0] if failed else reply


SEND = Script("send")
MARK_READ = Script("mark_read")
CREATE_RUN = Script("create_run")
CLAIM_RUN = Script("claim_run")
ADOPT_RUN = Script("adopt_run")
MOVE_RUN = Script("move_run")
END_RUN = Script("end_run", allow_oom=True)
END_LARGE_RUN = Script("end_run")
"""The same for a result that is too large to be stored when the memory is full."""
RESUME_RUN = Script("resume_run")
RENEW_LEASE = Script("renew_lease", allow_oom=True)
RECOVER_RUNS = Script("recover_runs")
RELEASE_RUN = Script("release_run", allow_oom=True)
CHECK_OWNER = Script("check_owner")
RESET_CRASHES = Script("reset_crashes", allow_oom=True)
OPEN_PAUSE = Script("open_pause")
CLOSE_PAUSE = Script("close_pause")
EXPIRE_PAUSES = Script("expire_pauses")
REPAIR_INDEX = Script("repair_index")
REFUSE_ANSWER = Script("refuse_answer")
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
