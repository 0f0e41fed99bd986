"""The users of `runbus acl`: what each can do, on a server where nobody may do more, and cannot.

Both engines load the file at their start. Whether the rights suffice is for the programs to show,
which leave nothing in the server's log of refused commands; whether they are too many, the server
itself says of each of its commands (`ACL DRYRUN`).
"""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import hiredis
import pytest
from acl_users import KEYS, PREFIX, login, serving, started, waits, write_users
from redis.exceptions import ResponseError

from runbus import (
    cancel_flow_run,
    flow,
    get_client,
    receive_input,
    resume_flow_run,
    run_deployment,
    send_input,
    wait_for_flow_run,
)
from runbus.background import lease_holder
from runbus.background.lease_renewal import RETRY_SECONDS
from runbus.errors import RightMissing, RunFinished, ServerRefused
from runbus.protocol.keys import TAGS, Keys, tag
from runbus.settings import temporary_settings
from runbus.store.admin import acl, gauges
from runbus.store.bus import current_bus
from runbus.store.connection import rights, scripts
from runbus.store.maintenance.index_repair import TAGS_AT_ONCE, IndexRepair
from runbus.store.records import runs
from runbus.variables import Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis
    from servers import Server

OUTSIDE = "other:{b7}:x"


@dataclass(frozen=True)
class Guarded:
    """A server whose users are those of the file."""

    server: Server

    def url(self, user: str) -> str:
        return f"redis://{user}:{user}-password@127.0.0.1:{self.server.port}/0"

    def settings(self, user: str, **others: Any) -> Any:
        return temporary_settings(url=self.url(user), prefix=PREFIX, **others)

    def client(self, user: str) -> Redis:
        return self.server.client(**login(user))

    def refused(self) -> list[str]:
        """What the server refused since the last time."""
        with self.client("admin") as admin:
            log = admin.acl_log()
            admin.acl_log_reset()
        return [f"{each['username']}: {each['object']} ({each['reason']})" for each in log]


@pytest.fixture(scope="module", params=["valkey", "redis"], ids=["valkey", "redis7"])
def guarded(
    request: pytest.FixtureRequest,
    start_server: Callable[..., Server],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Guarded]:
    """A server of each engine that was started with the file of `runbus acl`."""
    path = write_users(tmp_path_factory.mktemp("acl"))
    options = ("--aclfile", str(path), "--appendfsync", "always")
    with start_server(request.param, *options) as server:
        yield Guarded(server)


@pytest.fixture(scope="module")
def worker(guarded: Guarded) -> Iterator[None]:
    """A process that serves the flows of `acl_users_flows.py` as the user `worker`."""
    with serving(guarded.url("worker")):
        yield
        guarded.refused()
    assert guarded.refused() == []


# --- What each can do ------------------------------------------------------------------------


async def test_all_of_the_job(guarded: Guarded, worker: None) -> None:
    """A run is started, sent to, answered twice, watched and cancelled, and nothing is refused.

    The worker's flow sends, receives, pauses, suspends, starts others and keeps values.
    """
    guarded.refused()
    # Redis 7.0 has no WAITAOF, and a user who may look at its configuration could see its secrets.
    durability = "fsync" if guarded.server.engine == "valkey" else "memory"
    with guarded.settings("web"):
        run_id = await started("everything/x", "a")
        await waits(run_id, "Paused")
        await resume_flow_run(run_id, {"value": 7}, by="ada")
    with guarded.settings("sender"):
        await send_input("from outside", run_id)
        await send_input("from outside", run_id, key="once")
        again = send_input("from outside", run_id, key="once")
        await again
        assert again.duplicate
        await send_input("from outside", run_id, durability=durability)
        unknown = uuid4()  # as of another engine's run
        await send_input(1, unknown)
        with guarded.client("admin") as admin:
            assert admin.xlen(KEYS.input(unknown, "int")) == 1
    with guarded.settings("web"):
        await waits(run_id, "Suspended")
        await resume_flow_run(run_id, {"value": True}, durability=durability)
        run = await wait_for_flow_run(run_id, timeout=30)
        assert run.state.result() == [7, "from outside", "from the child", True, "kept"]
        stopped = await started("wait/x")
        await waits(stopped, "Paused")
        await cancel_flow_run(stopped)
        assert (await wait_for_flow_run(stopped, timeout=30)).state.is_cancelled()
    with guarded.settings("sender"), pytest.raises(RunFinished):
        await send_input(1, run_id)
    # A sender is asked once per connection whether it may read: this is the answer.
    assert set(guarded.refused()) <= {"sender: xrevrange (command)"}


async def test_a_reader_sees_everything(guarded: Guarded, worker: None) -> None:
    """Runs, pauses and their answers, histories, logs, streams, inputs, deployments, workers."""
    with guarded.settings("web"):
        run_id = await started("wait/x")
        await waits(run_id, "Paused")
        await send_input("hello", run_id)
    guarded.refused()
    with guarded.settings("reader"):
        client = get_client()
        assert run_id in [run.id for run in await client.read_flow_runs(text="wait")]
        assert run_id in [run.id for run in await client.read_flow_runs(limit=5)]
        assert (await client.find_flow_run(str(run_id)[:30])).id == run_id
        assert run_id in [each.run.id for each in await client.read_waiting()]
        assert await client.count_waiting() >= 1
        assert (await gauges.read(current_bus(), [])).pending_pauses >= 1
        assert [each.key for each in await client.read_pauses(run_id)] == ["1"]
        assert "Paused" in [each.state for each in await client.read_history(run_id)]
        assert [each.name for each in await client.read_streams(run_id)] == ["str"]
        assert [each.value for each in await client.read_inputs(run_id)] == [b'"hello"']
        assert "wait/x" in [each.name for each in await client.read_deployments()]
        assert sum(each.executing for each in await client.read_workers()) >= 1
        following = asyncio.ensure_future(anext(client.follow_events()))
        while not following.done():  # it may begin after the first of these
            with guarded.settings("web"):
                await run_deployment("wait/x", {"words": []}, timeout=0)
            await asyncio.sleep(0.02)
        assert following.result().state
        with guarded.settings("web"):
            await cancel_flow_run(run_id)
        assert [line async for line in client.follow_logs(run_id)]
    # The key that a reader's connection watches is for others to make.
    assert set(guarded.refused()) <= {"reader: set (command)"}


# --- What each cannot do ---------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """A command of a server: how it is called with a key, as far as one can tell."""

    name: str
    calls: list[tuple[str, ...]]
    categories: set[str]

    @classmethod
    def all_of(cls, admin: Redis, key: str) -> list[Command]:
        """List all commands of a server, subcommands too."""
        top: list[dict[str, Any]] = list(admin.command().values())
        flat = [(each["name"], each["arity"], each["acl_categories"]) for each in top]
        flat += [(sub[0], sub[1], sub[6]) for each in top for sub in each.get("subcommands", [])]
        return [cls(name, cls._calls(name, arity, key), set(cats)) for name, arity, cats in flat]

    @staticmethod
    def _calls(name: str, arity: int, key: str) -> list[tuple[str, ...]]:
        words = tuple(name.split("|"))
        if name in {"xread", "xreadgroup"}:
            group = ("GROUP", "x", "x") if name == "xreadgroup" else ()
            return [(*words, *group, "STREAMS", key, "0")]
        padding = (key,) * max(0, abs(arity) - len(words))
        # As the first of several keys, after a number of keys, or after a script and such a number.
        return [(*words, *padding), (*words, "1", key), (*words, "x", "1", key)]


def passes(guarded: Guarded, user: str, key: str) -> dict[str, Command]:
    """The commands that the server lets a user through with, in any call with this key."""
    with guarded.client("admin") as admin:
        commands = Command.all_of(admin, key)
    calls = [(command, call) for command in commands for call in command.calls]
    replies = answers(guarded, [("ACL", "DRYRUN", user, *call) for _, call in calls])
    found = zip(calls, replies, strict=True)
    return {command.name: command for (command, _), reply in found if reply == b"OK"}


def answers(guarded: Guarded, commands: list[tuple[str, ...]]) -> list[Any]:
    """The server's answers to thousands of commands, sent in one piece."""
    login = ("AUTH", "admin", "admin-password")
    reader, replies = hiredis.Reader(), []
    with socket.create_connection(("127.0.0.1", guarded.server.port)) as connection:
        for part in batched([login, *commands], 500):
            connection.sendall(b"".join(map(hiredis.pack_command, part)))
            wanted = len(replies) + len(part)
            while len(replies) < wanted:
                if (reply := reader.gets()) is not False:
                    replies.append(reply)
                else:
                    reader.feed(connection.recv(65536))
    return replies[1:]


def batched(items: list[Any], size: int) -> Iterator[list[Any]]:
    yield from (items[place : place + size] for place in range(0, len(items), size))


def keyed(guarded: Guarded, user: str, key: str) -> set[str]:
    """The commands that pass with this key, and not with another's."""
    return {*passes(guarded, user, key)} - {*passes(guarded, user, OUTSIDE)}


RUN = UUID("3fa85f64-5717-4562-b3fc-2c963f66afb7")
WITHOUT_KEYS = {"script|load", "role", "cluster|slots", "cluster|info", "time"}


@pytest.mark.parametrize("user", acl.USERS)
def test_nobody_leaves_the_prefix(guarded: Guarded, user: str) -> None:
    """With another's key nothing passes but what has no keys, and of that nothing dangerous."""
    for key in (OUTSIDE, KEYS.runs("b7").replace("*", "X"), KEYS.runs("b7").replace("?", "X")):
        passed = passes(guarded, user, key)
        for command in passed.values():
            assert command.name in WITHOUT_KEYS or "@connection" in command.categories
            assert command.name in WITHOUT_KEYS or not command.categories & {"@admin", "@dangerous"}


@pytest.mark.parametrize("user", acl.USERS)
def test_nobody_runs_the_server(guarded: Guarded, user: str) -> None:
    """No user configures, empties, lists, stops, or brings scripts of their own."""
    refused = [
        *(("CONFIG", "GET", "*"), ("CONFIG", "SET", "maxmemory", "1"), ("FLUSHALL",), ("FLUSHDB",)),
        *(("KEYS", "*"), ("SCAN", "0"), ("RANDOMKEY",), ("DBSIZE",), ("INFO",), ("MONITOR",)),
        *(("DEBUG", "SLEEP", "0"), ("SHUTDOWN",), ("SAVE",), ("REPLICAOF", "a", "1")),
        *(("ACL", "LIST"), ("ACL", "SETUSER", user, "+@all"), ("ACL", "WHOAMI")),
        *(("CLIENT", "LIST"), ("CLIENT", "KILL", "ID", "1"), ("CLIENT", "PAUSE", "1")),
        *(("EVAL", "return 1", "0"), ("EVALSHA", "0" * 40, "0"), ("FUNCTION", "LOAD", "x")),
        *(("SCRIPT", "FLUSH"), ("SUBSCRIBE", "x"), ("PUBLISH", "x", "y"), ("MODULE", "LIST")),
        *(("SELECT", "0", "x"), ("COPY", KEYS.log(RUN), KEYS.resume(RUN))),
        ("RENAME", KEYS.log(RUN), KEYS.resume(RUN)),
    ]
    with guarded.client(user) as client:
        for command in refused:
            with pytest.raises(ResponseError):
                client.execute_command(*command)
    guarded.refused()


def test_a_sender_reads_nothing(guarded: Guarded) -> None:
    """It appends to input streams, and learns neither what is in them nor of the run."""
    inputs = keyed(guarded, "sender", KEYS.input(RUN, "str"))
    assert inputs == {"xadd", "xlen", "pexpire"}
    assert keyed(guarded, "sender", KEYS.run(RUN)) == {"exists"}
    for key in (KEYS.resume(RUN), KEYS.pause(RUN, "1"), KEYS.log(RUN), KEYS.events("b7")):
        assert keyed(guarded, "sender", key) == set()


def test_a_reader_writes_nothing(guarded: Guarded) -> None:
    """No command that writes passes, with a key of any kind."""
    for key in keys_of_all_kinds():
        passed = passes(guarded, "reader", key).values()
        assert not [each.name for each in passed if "@write" in each.categories]


def test_only_who_answers_writes_to_the_resume_stream(guarded: Guarded) -> None:
    """Others can end its life with the run's, and that is all."""
    for user, writes in {
        "sender": set(),
        "reader": set(),
        "worker": {"pexpire", "persist"},
        "web": {"pexpire", "persist", "xadd"},
    }.items():
        passed = passes(guarded, user, KEYS.resume(RUN)).values()
        assert {each.name for each in passed if "@write" in each.categories} == writes


def keys_of_all_kinds() -> list[str]:
    """A key of each kind that there is."""
    of_run = [
        KEYS.of_run(RUN) + part
        for part in ("run", "streams", "retried", "history", "resume", "ends", "control", "log")
    ]
    of_tag = [
        KEYS.of_tag("b7") + part
        for part in ("runs", "active", "pending", "executing", "ended", "events", "pulse", "here")
    ]
    of_tag += [KEYS.scheduled("b7", "x"), KEYS.lease("b7", "x")]
    named = [KEYS.deployment("x"), KEYS.queue("x"), KEYS.worker("x"), KEYS.wire()]
    values = [KEYS.block("x"), KEYS.variable("x"), KEYS.deployments("b7"), KEYS.workers("b7")]
    return [*of_run, *of_tag, *named, *values, KEYS.input(RUN, "str"), KEYS.pause(RUN, "1")]


async def test_a_worker_repairs_indexes(guarded: Guarded) -> None:
    """A round through all tags finds a run that no index had; nothing is refused."""
    guarded.refused()
    with guarded.settings("web"):
        bus, run_id = current_bus(), uuid4()
        run = await runs.create(bus, run_id, {"flow": "f", "deployment": "lost/x"})
    with guarded.client("admin") as client:
        client.delete(KEYS.scheduled(tag(run_id), "lost/x"))
    with guarded.settings("worker"):
        repair = IndexRepair(current_bus())
        for _ in range(len(TAGS) // TAGS_AT_ONCE):
            await repair.step()
        assert await runs.scheduled(current_bus(), ["lost/x"], 20) == [(run_id, "lost/x")]
    with guarded.settings("web"):
        await runs.move(current_bus(), run, "Cancelled")
    assert guarded.refused() == []


async def test_a_worker_answers_no_pause(guarded: Guarded, worker: None) -> None:
    """By the library it is refused, with nothing changed; what it writes by hand does not count."""
    with guarded.settings("web"):
        run_id = await started("wait/x")
        await waits(run_id, "Paused")
    with guarded.settings("worker"):
        with pytest.raises(RightMissing, match="'answer'"):
            await resume_flow_run(run_id, {"value": "forged"}, by="ada")
        with guarded.client("worker") as client:
            forged = {"state": "answered", "value": "forged", "by": "ada", "entry": "1-1"}
            client.hset(KEYS.pause(run_id, "1"), mapping=forged)
            client.hset(KEYS.run(run_id), "message", "answered")
            with pytest.raises(ResponseError):
                client.xadd(KEYS.resume(run_id), {"value": "forged"})
    with guarded.settings("reader"):
        pause = await get_client().read_pause(run_id)
        assert pause is not None
        assert (pause.state, pause.value, pause.by) == ("pending", None, None)
        assert (await get_client().read_flow_run(run_id)).state.name == "Paused"
    with guarded.settings("web"):
        await resume_flow_run(run_id, {"value": "real"}, by="bob")
        assert (await wait_for_flow_run(run_id, timeout=30)).state.is_completed()
        assert [each.by for each in await get_client().read_pauses(run_id)] == ["bob"]
    guarded.refused()


# --- How it is told --------------------------------------------------------------------------


@flow
async def nothing() -> None:
    """Do nothing."""


REFUSED = {
    "a sender receives": ("sender", lambda: receive_input(int, flow_run_id=RUN).next(), "TRACKING"),
    "a sender reads a run": ("sender", lambda: get_client().read_flow_run(RUN), "HGETALL on "),
    "a sender resumes": ("sender", lambda: resume_flow_run(RUN), "'look'"),
    "a sender runs a flow": ("sender", nothing, "'start'"),
    "a reader sends": ("reader", lambda: send_input(1, RUN), "'send'"),
    "a reader cancels": ("reader", lambda: cancel_flow_run(RUN), "'steer'"),
    "a reader serves": ("reader", lambda: nothing.serve("x"), "SET on "),
    "a reader keeps a value": ("reader", lambda: Variable.set("x", 1), "SET on "),
    "web keeps a value": ("web", lambda: Variable.set("x", 1), "SET on "),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_missing_right_is_told(guarded: Guarded, case: str) -> None:
    """It is told at once, by name, however long a server that is down would be asked again."""
    user, attempt, right = REFUSED[case]
    with guarded.settings("web"):
        await runs.create(current_bus(), RUN, {"flow": "f", "deployment": "f/x"})
    with guarded.settings(user, retry_seconds=3600):
        async with asyncio.timeout(10):
            with pytest.raises(RightMissing) as told:
                await attempt()
    assert right in told.value.right
    assert told.value.right in str(told.value)
    assert f"{user}-password" not in str(told.value)
    guarded.refused()


@pytest.mark.parametrize("user", ["stranger", "default"])
async def test_who_is_not_let_in_is_told(guarded: Guarded, user: str) -> None:
    """A user whom the server does not know, or no user, is an error at once."""
    url = guarded.url("stranger") if user == "stranger" else guarded.server.url
    with temporary_settings(url=url, retry_seconds=3600):
        async with asyncio.timeout(10):
            with pytest.raises(ServerRefused):
                await send_input(1, uuid4())


async def test_a_lost_right_does_not_keep_a_lease_busy(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that may not renew its leases any more says so once, and asks now and then."""
    guarded.refused()
    began = time.monotonic()
    with guarded.settings("reader", lease_seconds=1):
        with lease_holder.current().intent(RUN):
            await asyncio.sleep(1)
        lease_holder.close_all()
    seconds = time.monotonic() - began
    assert caplog.text.count("not renewed") == 1
    with guarded.client("admin") as admin:
        refused = [each for each in admin.acl_log() if each["object"] == "evalsha"]
        admin.acl_log_reset()
    assert 1 <= sum(each["count"] for each in refused) <= 1 + seconds / RETRY_SECONDS


# --- The lists -------------------------------------------------------------------------------


def test_every_script_is_somebodys() -> None:
    """A script that no right names could be called by nobody: put a new one in `RIGHTS`."""
    named = {script.sha for right in rights.RIGHTS.values() for script in right.scripts}
    assert named == {script.sha for script in scripts.ALL}


def test_every_key_is_somebodys() -> None:
    """A kind of key that no right names could be used by nobody: put a new one in `RIGHTS`."""
    kinds = {name for name in vars(Keys) if not name.startswith("_") and name != "prefix"}
    granted = " ".join(grant.keys for right in rights.RIGHTS.values() for grant in right.grants)
    assert kinds - {"of_run", "pattern_of_runs"} == {*granted.split()}


def test_every_right_is_somebodys() -> None:
    """There is no right that no user has, and no user with a right that there is not."""
    assert {right for held in acl.USERS.values() for right in held} == set(rights.RIGHTS)
    assert not {"answer"} & set(acl.USERS["worker"])
