"""URLs that name several servers: `redis+sentinel://` and `redis+cluster://`, with TLS `rediss+…`.

What stands before the `@` and after the `?` holds for each of the servers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from runbus.errors import SettingsError

_FORM = re.compile(r"(rediss?)\+(sentinel|cluster)")
_DEFAULT_PORTS = {"sentinel": 26379, "cluster": 6379}


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
    match = _FORM.fullmatch(url.partition("://")[0])
    if match is None:
        return None
    scheme, kind = match.groups()
    try:
        parts = urlsplit(url)
        userinfo, at, hosts = parts.netloc.rpartition("@")
        path = tuple(unquote(part) for part in parts.path.split("/")[1:] if part)
        found = tuple(_host_and_port(each, _DEFAULT_PORTS[kind]) for each in hosts.split(","))
        if not _is_path(kind, path):
            raise ValueError
    except ValueError:
        raise not_usable() from None
    return SeveralServers(kind, scheme, userinfo + at, found, path, parts.query)


def not_usable() -> SettingsError:
    """The error for a URL of no such form. It shows nothing of it: it may hold a password."""
    return SettingsError(
        "RUNBUS_URL is not a usable URL: write redis://host:port/database, rediss://…, "
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


def _host_and_port(text: str, default: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError
    return parts.hostname, parts.port or default


def _is_path(kind: str, path: tuple[str, ...]) -> bool:
    if kind == "cluster":
        return path in {(), ("0",)}
    return len(path) == 1 or (len(path) == 2 and path[1].isdecimal())  # noqa: PLR2004
