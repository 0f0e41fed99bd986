"""Server users with the least rights: what each may do, as lines of a Redis ACL file.

Each part of a right (`connection.rights`) becomes a selector, `( … )`: a command passes when one
selector has it and all its keys. The right to call a script (EVALSHA takes reading and writing of
all its keys) is a selector of its own, which lets nothing else through; and only the scripts of
this version may be called, by their SHA-1, so nobody brings their own.

What makes a worker unable to answer: an answer is an entry on the resume stream (`answer.lua`),
and nobody has XADD on that stream but who answers. What the rights cannot do: who may write a
key may also spoil it. They keep a user from reading, forging and deleting elsewhere.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, cast
from uuid import UUID

from runbus.protocol.keys import Keys, tag, tag_of_process
from runbus.store.connection.rights import EVERYBODYS, RIGHTS

if TYPE_CHECKING:
    from runbus.store.connection.rights import Grant

USERS = {
    "sender": ("send",),
    "worker": (
        *("execute", "send", "receive", "look", "follow"),
        *("start", "steer", "keep values"),
    ),
    "reader": ("look",),
    "web": ("look", "follow", "answer", "send", "start", "steer"),
}
"""The users, each with its rights. A worker has all but to answer, since flows do all the rest."""

# Each connection's own affairs, finding one's way in a cluster, and scripts after a restart.
_EVERYBODY = "+@connection -@admin -@dangerous +script|load +role +cluster|slots +cluster|info"
# Who never waits needs no pushes, and in one mode they tell the names of all keys.
_WAITING = {"receive", "look"}


def file(prefix: str, passwords: dict[str, str], other: str = "") -> str:
    """Return an ACL file with the users of these names: name → SHA-256 of the password, in hex.

    There is also `admin`, who may do everything; and `default`, as whom every connection begins,
    may do nothing. What the users may do by an `other` file, of another version, they still may.
    """
    lines = ["user default off", f"user admin on #{passwords['admin']} ~* &* +@all"]
    for name in USERS:
        own = line(name, prefix, passwords[name])
        kept = [each for each in _selectors(name, other) if each not in own]
        lines.append(" ".join([own, *kept]))
    return "\n".join(lines) + "\n"


def _selectors(name: str, text: str) -> list[str]:
    """Return all selectors of a user in an ACL file."""
    own = [each for each in text.splitlines() if each.startswith(f"user {name} ")]
    return [selector for each in own for selector in re.findall(r"\(.*?\)(?= \(|$)", each)]


def line(name: str, prefix: str, password: str) -> str:
    """Return the line of one of `USERS` in an ACL file, for the keys under a prefix."""
    rights = [RIGHTS[right] for right in USERS[name]]
    words = [f"user {name} on #{password} -@all {_EVERYBODY}"]
    if not _WAITING & set(USERS[name]):
        words.append("-client|tracking")
    words += [f"+{command}" for command in _unique(right.commands for right in rights)]
    called = [f"+evalsha|{script.sha}" for right in rights for script in right.scripts]
    patterns = _patterns(prefix)
    if called:
        words.append(f"({' '.join(dict.fromkeys(called))} ~{patterns['of_tag']})")
    grants = dict.fromkeys((*EVERYBODYS, *(grant for right in rights for grant in right.grants)))
    words += [_selector(grant, patterns) for grant in grants]
    return " ".join(words)


def digest(password: str) -> str:
    """Return what an ACL file holds instead of a password."""
    return sha256(password.encode()).hexdigest()


def _selector(grant: Grant, patterns: dict[str, str]) -> str:
    access = "~" if grant.access == "RW" else f"%{grant.access}~"
    words = [f"+{command}" for command in grant.commands.split()]
    words += [access + patterns[kind] for kind in grant.keys.split()]
    return f"({' '.join(words)})"


def _unique(groups: object) -> list[str]:
    return list(dict.fromkeys(" ".join(cast("list[str]", groups)).split()))


# Stands for every run: in its keys, each of its digits becomes a pattern that nothing else fits.
_SOME_RUN = UUID(int=0)
_TAG = "??"


def _of_any_run(key: str) -> str:
    of_any = "-".join("?" * length for length in (8, 4, 4, 4, 12))
    return key.replace(f"{{{tag(_SOME_RUN)}}}:{_SOME_RUN}", f"{{{_TAG}}}:{of_any}")


def _patterns(prefix: str) -> dict[str, str]:
    """Return the pattern of each kind of key."""
    keys = Keys(re.sub(r"([*?\[\]\\^])", r"\\\1", prefix))
    of_run = ("run", "streams", "retried", "history", "ends", "resume", "control", "log")
    of_tag = (
        *("runs", "active", "pending", "executing", "ended", "pulse"),
        *("events", "barrier", "workers", "deployments"),
    )
    named = ("deployment", "queue", "block", "variable", "here")
    return {
        **{kind: _of_any_run(getattr(keys, kind)(_SOME_RUN)) for kind in of_run},
        **{kind: _of_any_run(getattr(keys, kind)(_SOME_RUN, "*")) for kind in ("input", "pause")},
        **{kind: getattr(keys, kind)(_TAG) for kind in of_tag},
        **{kind: getattr(keys, kind)(_TAG, "*") for kind in ("scheduled", "lease")},
        **{kind: getattr(keys, kind)("*") for kind in named},
        "worker": keys.worker("*").replace(f"{{{tag_of_process('*')}}}", f"{{{_TAG}}}"),
        "wire": keys.wire(),
        "of_tag": keys.of_tag(_TAG) + "*",
    }
