"""Rights: everything that runbus asks of a server, by what it is for.

A script runs with the rights of the user who calls it: for each command inside, too. So a right
is the scripts that it calls and the commands on kinds of keys that it takes, in and outside of
them. Which user has which, and how a server is told, stands in `admin.acl`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from runbus.store.connection import scripts

if TYPE_CHECKING:
    from runbus.store.connection.scripts import Script


@dataclass(frozen=True)
class Grant:
    """Commands on kinds of keys."""

    commands: str
    """Their names, between spaces."""
    keys: str
    """Kinds of keys, between spaces: functions of `Keys`."""
    access: Literal["R", "W", "RW"] = "RW"


@dataclass(frozen=True, kw_only=True)
class Right:
    """Something that a user may do."""

    scripts: tuple[Script, ...] = ()
    grants: tuple[Grant, ...] = ()
    commands: str = ""
    """Those without keys, between spaces."""


# What every script does that moves a run from state to state.
_MOVES = (
    Grant("exists hget hmget hset hdel hincrby pexpire", "run ends"),
    Grant("rpush lpop pexpire", "history"),
    Grant("xadd pexpire", "events", "W"),
    Grant(
        "exists zadd zrem zrange zrangebyscore zscore persist pexpire",
        "runs active pending scheduled executing ended",
    ),
    Grant("hget hmget hset pexpire", "pause"),
    Grant("hkeys hset persist pexpire", "streams"),
    Grant("persist pexpire", "retried input resume control log", "W"),
)
# What looks whether the owner of a run lives.
_OWNERS = (Grant("get pttl pexpire", "lease"), Grant("hmget hset pexpire", "pulse"))
_HINTS = Grant("xadd pexpire", "queue", "W")
_DURABLE = Grant("set", "barrier", "W")

EVERYBODYS = (Grant("get", "wire", "R"),)
"""What every user may do."""

RIGHTS = {
    "send": Right(
        scripts=(scripts.SEND,),
        grants=(
            Grant("exists", "run retried", "W"),
            Grant("hget hset pexpire", "retried"),
            Grant("xadd xlen pexpire", "input", "W"),
            Grant("hkeys hmget hset hsetnx pexpire", "streams"),
            _DURABLE,
        ),
        commands="time",
    ),
    "receive": Right(
        scripts=(scripts.MARK_READ,),
        grants=(
            Grant("hget", "run", "R"),
            Grant("xread xrevrange", "input", "R"),
            Grant("pttl pexpire", "input"),
            Grant("hget hkeys hset pttl pexpire", "streams"),
        ),
    ),
    "look": Right(
        scripts=(scripts.LIST_RUNS, scripts.READ_PENDING, scripts.OLDEST_WAIT),
        grants=(
            Grant(
                "exists get hget hmget hgetall hkeys lrange smembers xlen xrange xrevrange xread "
                "zcard zcount zrandmember zrange zrevrangebyscore",
                "of_tag lease deployment queue",
                "R",
            ),
        ),
        commands="time",
    ),
    "follow": Right(grants=(Grant("get set", "here"),)),
    "start": Right(
        scripts=(scripts.CREATE_RUN,),
        grants=(*_MOVES, _HINTS, Grant("set", "lease", "W"), Grant("set", "wire", "W")),
    ),
    "steer": Right(
        scripts=(scripts.MOVE_RUN, scripts.RESUME_RUN, scripts.CHECK_OWNER),
        grants=(*_MOVES, *_OWNERS, _HINTS, Grant("xadd pexpire", "control", "W")),
    ),
    "answer": Right(
        scripts=(scripts.CLOSE_PAUSE,),
        grants=(
            *(*_MOVES, *_OWNERS, _HINTS, _DURABLE),
            Grant("hexists", "pause", "R"),
            Grant("xrange", "resume", "R"),
            Grant("xadd", "resume", "W"),
        ),
    ),
    "execute": Right(
        scripts=(
            *(scripts.CLAIM_RUN, scripts.ADOPT_RUN, scripts.END_RUN, scripts.END_LARGE_RUN),
            *(scripts.RENEW_LEASE, scripts.RECOVER_RUNS, scripts.RELEASE_RUN),
            *(scripts.RESET_CRASHES, scripts.REPAIR_INDEX, scripts.EXPIRE_PAUSES),
            *(scripts.OPEN_PAUSE, scripts.CLOSE_PAUSE, scripts.REFUSE_ANSWER),
        ),
        grants=(
            *_MOVES,
            Grant("zscore", "runs active pending scheduled executing ended", "R"),
            Grant("del", "pause", "W"),
            Grant("xrange xrevrange", "resume", "R"),
            *_OWNERS,
            Grant("set del", "lease", "W"),
            Grant("sadd srem scard pexpire", "deployments workers"),
            Grant("hset pexpire", "deployment", "W"),
            Grant("hset hsetnx pexpire del", "worker", "W"),
            Grant("xadd pexpire", "log", "W"),
        ),
        commands="time",
    ),
    "keep values": Right(grants=(Grant("get set exists del", "block variable"),)),
}
"""Everything that runbus asks of a server, by what it is for."""


def with_script(script_sha: str) -> list[str]:
    """Name the rights to call a script."""
    return [
        name
        for name, right in RIGHTS.items()
        if any(script.sha == script_sha for script in right.scripts)
    ]
