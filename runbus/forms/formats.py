"""Formats: whether a text is what its format says, as the types of a flow would read it."""

from __future__ import annotations

import base64
import ipaddress
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from runbus.forms.core_types import core_error

if TYPE_CHECKING:
    from collections.abc import Callable

_CORE: dict[str, dict[str, Any]] = {
    "base64url": {"type": "bytes", "mode": "base64"},
    "date": {"type": "date"},
    "date-time": {"type": "datetime"},
    "duration": {"type": "timedelta"},
    "multi-host-uri": {"type": "multi-host-url"},
    "time": {"type": "time"},
    "uri": {"type": "url"},
    "uuid": {"type": "uuid"},
    **{f"uuid{version}": {"type": "uuid", "version": version} for version in (1, 3, 4, 5, 6, 7, 8)},
}
_READERS: dict[str, Callable[[str], object]] = {
    "base64": base64.b64decode,
    "ipv4": ipaddress.IPv4Address,
    "ipv4interface": ipaddress.IPv4Interface,
    "ipv4network": ipaddress.IPv4Network,
    "ipv6": ipaddress.IPv6Address,
    "ipv6interface": ipaddress.IPv6Interface,
    "ipv6network": ipaddress.IPv6Network,
    "ipvanyaddress": ipaddress.ip_address,
    "ipvanyinterface": ipaddress.ip_interface,
    "ipvanynetwork": ipaddress.ip_network,
}


@cache
def formats() -> dict[str, Callable[[str], bool]]:
    """Return the checks of formats that are those of a flow; others are the validator's own."""
    return {
        "binary": lambda _: True,  # any text in UTF-8 will do for bytes
        **{name: partial(_is_of_type, type_) for name, type_ in _CORE.items()},
        **{name: partial(_is_read, reader) for name, reader in _READERS.items()},
        **_addresses_of_mail(),
    }


def _is_of_type(type_: object, text: str) -> bool:
    return not core_error(type_, text)


def _is_read(reader: Callable[[str], object], text: str) -> bool:
    try:
        reader(text)
    except ValueError:
        return False
    return True


def _addresses_of_mail() -> dict[str, Callable[[str], bool]]:
    # Pydantic reads them by a package that may not be there.
    from pydantic import EmailStr, NameEmail, TypeAdapter

    try:
        readers = {
            "email": TypeAdapter[Any](EmailStr).validate_strings,
            "name-email": TypeAdapter[Any](NameEmail).validate_strings,
        }
    except ImportError:
        return {}
    return {name: partial(_is_read, reader) for name, reader in readers.items()}
