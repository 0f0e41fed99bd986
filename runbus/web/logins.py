"""Who may use the page: names with tokens, and the cookie that stands for a token.

The cookie is `name.expiry.signature`, signed with the name's token: nothing is kept on the server,
it outlives a restart, and whoever loses the token loses the session with it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbus.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

COOKIE = "runbus_session"
SESSION_SECONDS = 12 * 3600
SHORTEST_TOKEN = 16
_LARGEST_FILE = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9_@-]{1,64}")


@dataclass(frozen=True)
class Logins:
    """The names that may log in, each with its token. Without any, everybody may do everything."""

    tokens: Mapping[str, str]

    def __repr__(self) -> str:
        """Names only."""
        return f"Logins({', '.join(self.tokens)})"

    def name_of(self, token: str) -> str | None:
        """Return whose token it is; every token is compared, in constant time."""
        found = [name for name, own in self.tokens.items() if _equal(own, token)]
        return found[0] if found else None

    def cookie_for(self, name: str) -> str:
        """Return a new session's cookie."""
        expiry = int(time.time()) + SESSION_SECONDS
        return f"{name}.{expiry}.{self._sign(name, expiry)}"

    def name_in(self, cookie: str) -> str | None:
        """Return whose session a cookie is; None when it is forged or its time is over."""
        name = self.signer_of(cookie)
        return name if name and int(cookie.split(".")[1]) > time.time() else None

    def signer_of(self, cookie: str) -> str | None:
        """Return whose session a cookie is or was; None when it is forged."""
        name, _, rest = cookie.partition(".")
        expiry, _, signature = rest.partition(".")
        if name not in self.tokens or not re.fullmatch(r"\d{1,12}", expiry, re.ASCII):
            return None
        return name if _equal(self._sign(name, int(expiry)), signature) else None

    def _sign(self, name: str, expiry: int) -> str:
        said = f"runbus session of {name} until {expiry}".encode()
        return hmac.new(self.tokens[name].encode(), said, hashlib.sha256).hexdigest()


def read_tokens(text: str, origin: str) -> dict[str, str]:
    """Read `name=token` pairs, parted by white space or commas. Raises `SettingsError`."""
    tokens: dict[str, str] = {}
    for pair in re.split(r"[\s,]+", text.strip()):
        name, _, token = pair.partition("=")
        if not pair:
            continue
        if not _NAME.fullmatch(name) or len(token) < SHORTEST_TOKEN:
            raise SettingsError(
                f"{origin}: write name=token; a name has letters, digits, _, @ and -, and a "
                f"token at least {SHORTEST_TOKEN} characters."
            )
        tokens[name] = token
    return tokens


def read_token_file(path: Path) -> dict[str, str]:
    """Read a file of `name=token` lines; `#` begins a comment line. Raises `SettingsError`."""
    try:
        with path.open() as file:
            text = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        raise SettingsError(f"the token file {path} cannot be read: {error}") from None
    if len(text) > _LARGEST_FILE:
        raise SettingsError(f"the token file {path} is too large.")
    told = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    tokens = read_tokens("\n".join(told), str(path))
    if not tokens:
        raise SettingsError(f"the token file {path} has no line name=token.")
    return tokens


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "surrogatepass"))
