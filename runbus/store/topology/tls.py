"""TLS: the files that a URL names, and what a connection that failed says of it.

A server that speaks no TLS waits for the rest of what it takes for a command, and one that speaks
nothing else hangs up: both look like a server in trouble, so all that can be done is to ask.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from redis.asyncio.connection import SSLConnection
from redis.exceptions import InvalidResponse

from runbus.errors import SettingsError

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection, RedisSSLContext
    from redis.exceptions import RedisError

_WHY_HANG_UP = {
    "redis": " (does it speak TLS there? Then write rediss://)",
    "rediss": " (does it speak TLS there, and want a certificate: ssl_certfile, ssl_keyfile?)",
}


def load_files(connection: AbstractConnection) -> None:
    """Load what a connection needs for TLS, if it does. Raises `SettingsError`."""
    if not isinstance(connection, SSLConnection):
        return
    files = connection.ssl_context
    try:
        files.get()  # pyright: ignore[reportUnknownMemberType]
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"RUNBUS_URL: {_what_is_wrong(files, error)}.") from None


def refusal(error: RedisError) -> str | None:
    """What is wrong between client and server, where trying again is no use."""
    if isinstance(error, InvalidResponse):
        return f"no Redis server answers there, or one that wants TLS (rediss://): {error}"
    cause = error.__cause__ or error.__context__
    if not isinstance(cause, ssl.SSLError) or _may_pass(cause):
        return None
    return f"TLS failed: {cause}{_advice(str(cause))}"


def question(error: RedisError, scheme: str) -> str:
    """What to ask of a server that hung up, by the scheme of its URL."""
    return _WHY_HANG_UP.get(scheme, "") if _hung_up(error) else ""


def question_of_silence(scheme: str) -> str:
    """What to ask of a server that does not answer."""
    return " (does it speak TLS there?)" if scheme == "rediss" else ""


def _may_pass(error: ssl.SSLError) -> bool:
    # The alert is what a proxy says that does not reach its server.
    ended = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    return ended or error.reason == "TLSV1_ALERT_INTERNAL_ERROR"


def _hung_up(error: RedisError) -> bool:
    cause = error.__cause__ or error.__context__
    ended = isinstance(cause, ConnectionResetError | ssl.SSLEOFError | ssl.SSLZeroReturnError)
    return ended or "closed by server" in str(error)


def _advice(text: str) -> str:
    if "self-signed certificate" in text or "issuer certificate" in text:
        return " (ssl_ca_certs names the file of the authority to trust)"
    if "CERTIFICATE_REQUIRED" in text or "ALERT_HANDSHAKE_FAILURE" in text:
        return " (does it want a certificate: ssl_certfile, ssl_keyfile?)"
    return " (does it speak TLS there?)" if "WRONG_VERSION_NUMBER" in text else ""


# What is wrong with the files.


def _what_is_wrong(files: RedisSSLContext, error: Exception) -> str:
    certificates = {"ssl_ca_certs": files.ca_certs, "ssl_certfile": files.certfile}
    return (
        _unreadable(certificates | {"ssl_keyfile": files.keyfile})
        or _without_certificate(certificates)
        or _not_a_pair(files)
        or f"the options for TLS cannot be used: {error}"
    )


def _unreadable(paths: dict[str, str | None]) -> str | None:
    for option, path in paths.items():
        try:
            if path:
                Path(path).open("rb").close()
        except OSError as error:
            return f"{option}={path} cannot be read: {error.strerror}"
    return None


def _without_certificate(paths: dict[str, str | None]) -> str | None:
    for option, path in paths.items():
        try:
            if path:
                _new_context().load_verify_locations(path)
        except ssl.SSLError:
            return f"{option}={path} holds no certificate in PEM form"
    return None


def _not_a_pair(files: RedisSSLContext) -> str | None:
    if not files.certfile:
        return "ssl_keyfile needs ssl_certfile" if files.keyfile else None
    try:
        _new_context().load_cert_chain(files.certfile, files.keyfile, files.password)
    except ssl.SSLError as error:
        key = f"ssl_keyfile={files.keyfile}" if files.keyfile else f"ssl_certfile={files.certfile}"
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"{key} holds another key than that of ssl_certfile={files.certfile}"
        return f"{key} holds no private key in PEM form, or ssl_password is not its password"
    return None


def _new_context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
