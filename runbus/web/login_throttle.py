"""Guesses: wrong tokens and forged cookies, slowed by the address that they come from and in all.

Each wrong one takes a token out of two token buckets, which fill again by and by; where one is
empty, nothing is judged. What was right before from the same address is judged all the same: who is
logged in is not locked out by somebody who guesses.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")

ADDRESS_BURST = 10
ADDRESS_SECONDS = 5.0
"""How long a bucket takes to have one more."""
ALL_BURST = 100
ALL_SECONDS = 0.5
MOST_KEPT = 1024
_IPV6_NETWORK = 64  # bits: what one subscriber has


class TooManyGuesses(Exception):
    """Nothing is judged for a while."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(math.ceil(seconds), 1)
        super().__init__(f"There were too many wrong ones. Try again in {self.seconds} s.")


@dataclass
class Bucket:
    """A token bucket: full at first."""

    burst: int
    seconds: float
    """From one token to the next."""
    _empty_at: float = field(default=-math.inf)

    def wait(self, now: float) -> float:
        """Return how long it takes until there is a token; 0 if there is one."""
        return max(self._begin(now) + self.seconds - now, 0.0)

    def take(self, now: float) -> None:
        """Take a token."""
        self._empty_at = self._begin(now) + self.seconds

    def _begin(self, now: float) -> float:
        # When it was empty, had it filled evenly since: it holds (now - begin) / seconds tokens.
        return max(self._empty_at, now - self.burst * self.seconds)


class Guesses:
    """Judges who somebody is, as often as the buckets allow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all = Bucket(ALL_BURST, ALL_SECONDS)
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()
        self._known: OrderedDict[Hashable, None] = OrderedDict()
        self._key = secrets.token_bytes(32)

    def judge(self, address: str, secret: str, name_of: Callable[[str], str | None]) -> str | None:
        """Return whose secret it is, if anybody's. Raises `TooManyGuesses`."""
        place, now = _network(address), self._clock()
        proof = self._proof(place, secret)
        bucket = self._buckets.get(place) or Bucket(ADDRESS_BURST, ADDRESS_SECONDS)
        wait = max(bucket.wait(now), self._all.wait(now))
        if wait and proof not in self._known:
            raise TooManyGuesses(wait)
        name = name_of(secret)
        if name is None:
            self._all.take(now)
            bucket.take(now)
            _keep(self._buckets, place, bucket)
        else:
            _keep(self._known, proof, None)
        return name

    def trust(self, address: str, secret: str) -> None:
        """Take a secret for known from now on: it was given to this address."""
        _keep(self._known, self._proof(_network(address), secret), None)

    def _proof(self, place: str, secret: str) -> Hashable:
        said = secret.encode("utf-8", "surrogatepass")
        return place, hashlib.blake2b(said, key=self._key, digest_size=16).digest()


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return str(ipaddress.ip_network((ip, _IPV6_NETWORK), strict=False))
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def _keep(kept: OrderedDict[Hashable, T], key: Hashable, value: T) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > MOST_KEPT:
        kept.popitem(last=False)
