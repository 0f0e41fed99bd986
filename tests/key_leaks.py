"""The key-leak checker: no key may be left behind without a lifetime."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

_BATCH = 1000
_MEANT_TO_STAY = ":wire"  # the number of the grammar, which describes the rest
_NO_LIFETIME = -1  # what PTTL says; -2 is a key that went away in the meantime


def keys_without_lifetime(client: Redis) -> list[str]:
    """List the keys of the client's database that never expire, sorted."""
    found: set[str] = set()
    keys = client.scan_iter(count=_BATCH)
    while batch := list(islice(keys, _BATCH)):
        found.update(_without_lifetime(client, batch))
    return sorted(found)


def check_key_lifetimes(client: Redis) -> None:
    """Raise `AssertionError`, listing them, if there are keys that never expire."""
    leaked = keys_without_lifetime(client)
    if leaked:
        shown = "\n  ".join(leaked[:30]) + ("\n  …" if len(leaked) > 30 else "")
        raise AssertionError(f"{len(leaked)} key(s) without a lifetime were left:\n  {shown}")


def _without_lifetime(client: Redis, keys: list[str | bytes]) -> Iterator[str]:
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.pttl(key)
        lifetimes = pipeline.execute()
    for key, lifetime in zip(keys, lifetimes, strict=True):
        name = key if isinstance(key, str) else key.decode(errors="backslashreplace")
        if lifetime == _NO_LIFETIME and not name.endswith(_MEANT_TO_STAY):
            yield name
