"""A report on a server: what was looked at, what was found, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

OLDEST_REDIS = (7, 0)
NEARLY_FULL = 0.9
LARGEST_CLOCK_DIFFERENCE = 2.0
LONGEST_UNCLAIMED = 60.0

Info = dict[str, str]
"""What `INFO` says, by its fields' names."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    """`server`, `eviction`, `memory`, `persistence`, `replicas`, `clock`, `waking`, `leases`,
    `queue` or `indexes`."""
    ok: bool | None
    """None when it could not be found out."""
    found: str
    advice: str = ""
    """What to do; empty when there is nothing to do."""


@dataclass(frozen=True, kw_only=True)
class ServerReport:
    """How a server does."""

    address: str
    """How a person would name the server; never with a password."""
    checks: list[Check]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong that could be found out."""
        return all(check.ok is not False for check in self.checks)


def read_info(reply: bytes) -> Info:
    """Read the text of `INFO`."""
    pairs = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in pairs if colon and not name.startswith("#")}


def unknown(name: str, reason: object) -> Check:
    """Say that something could not be found out, such as what the server's ACL hides."""
    advice = "Ask who runs the server, or let this user see it (ACL: +info +config|get +time)."
    return Check(name=name, ok=None, found=str(reason), advice=advice)


def judge_server(info: Info, address: str) -> Check:
    """Judge which server it is."""
    if "redis_version" not in info:
        return unknown("server", f"it answers at {address}, and does not say what it is")
    product, version = _product(info)
    up = timedelta(seconds=int(info.get("uptime_in_seconds", "0")))
    found = f"{product} {version} at {address}, up for {up}"
    if info.get("role", "master") != "master":
        advice = "RUNBUS_URL must lead to the primary: a replica takes no writes."
        return Check(name="server", ok=False, found=f"{found}, a replica", advice=advice)
    if product == "Redis" and _numbers(version) < OLDEST_REDIS:
        advice = "Use Redis 7.0 or newer, or any Valkey."
        return Check(name="server", ok=False, found=found, advice=advice)
    return Check(name="server", ok=True, found=found)


def _product(info: Info) -> tuple[str, str]:
    if "valkey_version" in info:
        return "Valkey", info["valkey_version"]
    return "Redis", info["redis_version"]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def judge_eviction(info: Info) -> Check:
    """Judge whether the server may drop keys to make room."""
    policy = info.get("maxmemory_policy")
    if policy is None:
        return unknown("eviction", "the server does not say its maxmemory-policy")
    ok = policy == "noeviction"
    advice = "" if ok else (
        "Set maxmemory-policy noeviction: a full server would drop keys of runs that still wait."
    )  # fmt: skip
    return Check(name="eviction", ok=ok, found=f"maxmemory-policy {policy}", advice=advice)


def judge_memory(info: Info) -> Check:
    """Judge how much room there is."""
    if "used_memory" not in info:
        return unknown("memory", "the server does not say how much memory it uses")
    used, limit = int(info["used_memory"]), int(info.get("maxmemory", "0"))
    if not limit:
        found = f"{_mebibytes(used)} are used, without a limit (maxmemory 0)"
        return Check(name="memory", ok=True, found=found)
    ok = used < NEARLY_FULL * limit
    found = f"{_mebibytes(used)} of {_mebibytes(limit)} are used"
    advice = "" if ok else (
        "Raise maxmemory, or lower RUNBUS_RETENTION_SECONDS: a full server refuses sends."
    )  # fmt: skip
    return Check(name="memory", ok=ok, found=found, advice=advice)


def _mebibytes(size: int) -> str:
    return f"{size / 1024**2:,.1f} MiB"


def judge_persistence(info: Info) -> Check:
    """Judge whether what is stored survives the server's end."""
    if "aof_enabled" not in info:
        return unknown("persistence", "the server does not say how it persists")
    failing = [
        name
        for name in ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
        if info.get(name, "ok") != "ok" and (info["aof_enabled"] == "1" or name.startswith("rdb"))
    ]
    if failing:
        found = f"writing to disk fails ({', '.join(failing)})"
        advice = "Look at the server's log and its disk's free space."
        return Check(name="persistence", ok=False, found=found, advice=advice)
    if info["aof_enabled"] == "1":
        found = "there is an append-only file, and the last write to it went well"
        return Check(name="persistence", ok=True, found=found)
    return Check(
        name="persistence",
        ok=False,
        found="there is no append-only file",
        advice="Set appendonly yes: what is newer than the last snapshot is lost with the server.",
    )


def judge_replicas(info: Info, fewest: int | None) -> Check:
    """Judge whether a planned failover can lose what was confirmed.

    `fewest` is `min-replicas-to-write`, None when the server does not say.
    """
    if "connected_slaves" not in info:
        return unknown("replicas", "the server does not say whether it has replicas")
    count = int(info["connected_slaves"])
    if not count:
        return Check(name="replicas", ok=True, found="there are none")
    if fewest is None:
        return unknown("replicas", f"there are {count}; min-replicas-to-write is not to be read")
    found = f"there are {count}, and min-replicas-to-write is {fewest}"
    advice = "" if fewest else (
        "Set min-replicas-to-write 1 and min-replicas-max-lag: else a primary that is cut off from "
        "its replicas goes on taking answers and ends of runs that a failover loses. Before a "
        "planned failover, pause writes."
    )  # fmt: skip
    return Check(name="replicas", ok=fewest > 0, found=found, advice=advice)


def judge_indexes(looked_at: int, wrong: int, *, is_all: bool) -> Check:
    """Judge how many entries of indexes do not fit the records of the runs that were looked at."""
    of_all = "all there are" if is_all else "not all"
    found = f"wrong entries: {wrong:,} (runs looked at: {looked_at:,}, {of_all})"
    advice = "Run `runbus doctor --repair`: a run that stands in no index is not found by workers."
    return Check(name="indexes", ok=not wrong, found=found, advice=advice if wrong else "")


def judge_clock(difference: float, uncertainty: float) -> Check:
    """Judge how far this machine's clock is from the server's, both in seconds."""
    found = f"this machine's is {abs(difference):.3f} s {'behind' if difference > 0 else 'ahead'}"
    found += f" (± {uncertainty:.3f} s)"
    ok = abs(difference) - uncertainty <= LARGEST_CLOCK_DIFFERENCE
    advice = "" if ok else (
        "Set both clocks by NTP. Deadlines hold by the server's clock; what this machine shows of "
        "them is off."
    )  # fmt: skip
    return Check(name="clock", ok=ok, found=found, advice=advice)


def judge_waking(seconds: float | None, tracked: int, limit: int | None) -> Check:
    """Judge whether a change of a key was heard of, after how long, and the table behind it."""
    if seconds is None:
        return Check(
            name="waking",
            ok=False,
            found="a change of a key was not told (CLIENT TRACKING)",
            advice="Is a proxy between? It must pass RESP3 pushes; until then polls wake.",
        )
    found = f"a change was told within {seconds * 1000:.1f} ms; {tracked:,} keys are tracked"
    if limit is None or tracked < NEARLY_FULL * limit:
        return Check(name="waking", ok=True, found=found)
    advice = (
        "Raise tracking-table-max-keys: who waits for a key that falls out is woken for nothing."
    )
    return Check(name="waking", ok=False, found=f"{found} of {limit:,}", advice=advice)


def judge_leases(runs_of: Mapping[str, int], dead: set[str]) -> Check:
    """Judge which processes execute runs: process → how many runs, and which have no lease."""
    lost = sum(runs_of[process] for process in dead)
    alive = len(runs_of) - len(dead)
    held = sum(runs_of.values()) - lost
    found = f"{alive} processes have {held} runs"
    if not dead:
        return Check(name="leases", ok=True, found=found)
    return Check(
        name="leases",
        ok=False,
        found=f"{found}; {lost} runs belong to {len(dead)} processes that are gone",
        advice="Start a worker: it takes them over after the time of a lease (30 s by default).",
    )


def judge_queue(waiting: Mapping[str, int], longest: float) -> Check:
    """Judge the runs that wait for a worker: deployment → how many; the longest wait (seconds)."""
    if not waiting:
        return Check(name="queue", ok=True, found="no run waits for a worker")
    found = f"{sum(waiting.values())} runs wait for a worker, the longest for {longest:.0f} s"
    if longest < LONGEST_UNCLAIMED:
        return Check(name="queue", ok=True, found=found)
    names = ", ".join(sorted(waiting))
    advice = f"Start (more) workers that serve {names}, or raise their limit."
    return Check(name="queue", ok=False, found=found, advice=advice)
