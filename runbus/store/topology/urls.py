"""URLs that name several servers: `redis+sentinel://` and `redis+cluster://`, with TLS `rediss+…`.

What stands before the `@` and after the `?` holds for each of the servers.

A special character in a password that is not percent-encoded ends what comes before it, and that
may be the URL of another server: `redis://user:4711#rest@host` is port 4711 of the host `user`.
So nothing of a URL may be left over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from runbus.errors import SettingsError

_FORM = re.compile(r"(rediss?)\+(sentinel|cluster)")
_DEFAULT_PORTS = {"sentinel": 26379, "cluster": 6379}
_PATHS = {
    "sentinel": "after the sentinels stands /name, the primary's, and perhaps /database",
    "cluster": "a cluster has only database 0",
}


@dataclass(frozen=True)
class SeveralServers:
    """A URL that names several servers, taken apart."""

    kind: str
    """`sentinel` or `cluster`."""
    scheme: str
    userinfo: str
    hosts: tuple[tuple[str, int], ...]
    path: tuple[str, ...]
    query: str

    def url_of(self, host: str, port: int, database: str = "0", userinfo: str | None = None) -> str:
        """Return the URL of one server, by default with the user and password of all."""
        userinfo = self.userinfo if userinfo is None else userinfo
        name = f"[{host}]" if ":" in host else host
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{userinfo}{name}:{port}/{database}{query}"


def parse(url: str) -> SeveralServers | None:
    """Take a URL apart; None when it names one server. Raises `SettingsError`."""
    _check_special_characters(url)
    match = _FORM.fullmatch(url.partition("://")[0])
    if match is None:
        return None
    scheme, kind = match.groups()
    try:
        parts = urlsplit(url)
        userinfo, at, hosts = parts.netloc.rpartition("@")
        found = tuple(_host_and_port(each, _DEFAULT_PORTS[kind]) for each in hosts.split(","))
    except ValueError:
        raise not_usable() from None
    path = tuple(unquote(part) for part in parts.path.split("/")[1:] if part)
    if not _is_path(kind, path) or "@" in parts.path:
        raise not_usable(_PATHS[kind])
    return SeveralServers(kind, scheme, userinfo + at, found, path, parts.query)


def check_one(url: str) -> None:
    """Check the form of a URL of one server. Raises `SettingsError`."""
    # The parser takes all of these for the default host, port or database, without a word.
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise not_usable() from None
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise not_usable()
    if parts.scheme == "unix":
        if parts.netloc.rpartition("@")[2] or not parts.path:
            raise not_usable("unix:// is followed by the whole path, as in unix:///run/redis.sock")
    elif port == 0:
        raise not_usable("a port is a number from 1 to 65535")
    elif not (parts.hostname and re.fullmatch(r"/?|/\d+", parts.path)):
        raise not_usable()


def not_usable(reason: str = "") -> SettingsError:
    """The error for a URL of no such form. It shows nothing of it: it may hold a password."""
    return SettingsError(
        f"RUNBUS_URL is not a usable URL{': ' if reason else ''}{reason}. "
        "Write redis://host:port/database, rediss://…, "
        "unix:///path, redis+sentinel://host:port,host:port/name or "
        "redis+cluster://host:port,host:port, with options of a redis-py connection only, and "
        "percent-encode special characters in the password."
    )


def not_all() -> SettingsError:
    """The error for the URL of one server where that has only a part of the keys."""
    return SettingsError(
        "RUNBUS_URL names one node of a cluster, which has a part of the keys only: "
        "write redis+cluster://host:port, and runbus finds the other nodes."
    )


def not_a_sentinel_url() -> SettingsError:
    """The error for the URL of one server where a sentinel answers."""
    return SettingsError(
        "RUNBUS_URL names a sentinel, which holds no data: write redis+sentinel://host:port/name, "
        "with the name of the primary, and runbus finds the primary."
    )


def _check_special_characters(url: str) -> None:
    if "#" in url:
        raise not_usable("it has a #, which is written %23 in a password")
    # Not by `urlsplit`, which refuses some passwords with an error of its own.
    query = url.partition("?")[2]
    if not all("=" in part for part in query.split("&") if part):
        raise not_usable("what follows the ? are options name=value; in a password it is %3F")


def _host_and_port(text: str, default: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.port == 0:
        raise ValueError
    return parts.hostname, parts.port or default


def _is_path(kind: str, path: tuple[str, ...]) -> bool:
    if kind == "cluster":
        return path in {(), ("0",)}
    return len(path) == 1 or (len(path) == 2 and path[1].isdecimal())  # noqa: PLR2004
