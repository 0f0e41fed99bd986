"""Addresses: where a request comes from, by the connection or by what trusted proxies say."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.datastructures import Headers
    from starlette.types import Scope

    from runbus.web.options import Network


def client_address(scope: Scope, headers: Headers, trusted: Collection[Network]) -> str:
    """Return the address of the client: the last one that no trusted proxy has."""
    peer: str = (scope.get("client") or ("",))[0]
    forwarded = ",".join(headers.getlist("x-forwarded-for")).split(",")
    address = peer
    for each in [peer, *reversed(forwarded)]:
        found = _read(each)
        if found is None:
            break  # what a client sent is anything
        address = str(found)
        if not any(found in network for network in trusted):
            break
    return address


def _read(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
