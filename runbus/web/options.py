"""The options of `python -m runbus.web`, from its arguments and the environment."""

from __future__ import annotations

import argparse
import getpass
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runbus.errors import SettingsError
from runbus.web.logins import Logins, read_token_file, read_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_PORT = 4210
_LARGEST_PORT = 65535


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the page is served."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    logins: Logins
    allowed_hosts: frozenset[str]
    """The names by which a browser may call it, without ports."""
    somebody: str
    """Who answers where nobody logs in."""
    trusted_proxies: tuple[Network, ...] = ()
    """Whose `X-Forwarded-For` says where a request comes from."""


def read_options(words: Sequence[str]) -> Options:
    """Read the options. Raises `SettingsError` for what is unsafe or cannot be."""
    given = _parser().parse_args(words)
    tokens = _tokens(given.token_file)
    if not 0 <= given.port <= _LARGEST_PORT:
        raise SettingsError(f"--port {given.port}: a port is 0 to {_LARGEST_PORT}.")
    if not is_loopback(given.host) and not tokens:
        raise SettingsError(
            f"--host {given.host} can be reached from other machines, and nobody would have to log "
            "in: name who may with --token-file or RUNBUS_WEB_TOKENS (name=token …)."
        )
    return Options(
        host=given.host,
        port=given.port,
        logins=Logins(tokens),
        allowed_hosts=frozenset(
            name.lower().strip("[]")
            for name in ("localhost", "127.0.0.1", "::1", given.host, *given.allowed_host)
        ),
        somebody=_user_name(),
        trusted_proxies=tuple(_network(each) for each in given.trusted_proxy),
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="runbus web", description="A web page on which people answer the runs that wait."
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="the address to bind to (%(default)s)")
    add("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one (%(default)s)")
    add(
        "--token-file",
        type=Path,
        help="who may log in: lines name=token. Else RUNBUS_WEB_TOKENS (name=token …), "
        "RUNBUS_WEB_TOKEN_FILE, or RUNBUS_WEB_TOKEN, one token whose holder is called operator.",
    )
    add(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name by which browsers call the page, such as that of a proxy",
    )
    add(
        "--trusted-proxy",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="an address or network (10.0.0.0/8) of a proxy, whose X-Forwarded-For says where "
        "guesses of tokens come from",
    )
    return parser


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError as error:
        raise SettingsError(f"--trusted-proxy {text}: {error}") from None


def _tokens(file: Path | None) -> dict[str, str]:
    named = file or os.environ.get("RUNBUS_WEB_TOKEN_FILE")
    if named:
        return read_token_file(Path(named))
    several = os.environ.get("RUNBUS_WEB_TOKENS", "")
    one = os.environ.get("RUNBUS_WEB_TOKEN", "")
    return {
        **read_tokens(several, "RUNBUS_WEB_TOKENS"),
        **(read_tokens(f"operator={one}", "RUNBUS_WEB_TOKEN") if one else {}),
    }


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return "web"
