"""What is left on the servers, read around runbus."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from redis import Redis


def read_runs(servers: Iterable[Redis]) -> dict[str, dict[str, str]]:
    """Read the records of all runs: id → fields."""
    return {
        key.split(":")[2]: client.hgetall(key)
        for client, key in _keys(servers, "*:run")
        if key.count(":") == 3
    }


def leases(servers: Iterable[Redis]) -> set[str]:
    """Return the processes that have leases."""
    return {key.rpartition(":")[2] for _, key in _keys(servers, "*:lease:*")}


def executing(servers: Iterable[Redis]) -> set[str]:
    """Return what processes are said to execute: `<process> <run id> <epoch>`."""
    return {
        member
        for client, key in _keys(servers, "*:executing")
        for member in client.zrange(key, 0, -1)
    }


def waiting_for_workers(servers: Iterable[Redis]) -> set[str]:
    """Return the ids of the runs that are said to wait for a worker."""
    return {
        member
        for client, key in _keys(servers, "*:scheduled:*")
        for member in client.zrange(key, 0, -1)
    }


def _keys(servers: Iterable[Redis], pattern: str) -> Iterator[tuple[Redis, str]]:
    for client in servers:
        for key in client.scan_iter(pattern, count=1000):
            yield client, key
